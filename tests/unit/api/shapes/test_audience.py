"""What is for staff only reaches nobody else, by whatever way an order is shown.

Customers read in ``saga.last_error`` and in ``validation_errors`` what a partner's server had said about its own insides, and
in timelines who of the staff had cancelled their order.
"""

from __future__ import annotations

import ast
from inspect import getsource
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import api
from actors.order.replies import Reply, make_reply
from domain.commands import ActorType
from domain.errors import Unavailable
from domain.order import Attention, CancelReason, Order, Status, Step, StepKind, StepState, ValidationError
from domain.representation import OWN_FAULTS
from sagas import validating
from sagas.decision import CommandResult
from storage.reads.order_queries import OrderPage
from storage.writes.commits import StoredEvent
from tests.unit.api.harness import EVERY_SCOPE, NOW, ORDER_ID, PAYMENT_ID, Answered, World, a_payment, an_order, token

SECRET = "10.0.0.7"
ITEM_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01"
OF_AN_ORDER = {"OrderDocument", "OrdersDocument", "TimelineDocument"}
STEP = Step(
    key="hold:1",
    kind=StepKind.HOLD,
    state=StepState.RETRYING,
    since=NOW,
    next_try_at=NOW,
    attempts=3,
    last_error=f"connection lost: {SECRET}",
)
WITH_A_STEP = an_order(steps=(STEP,))
IN_NEED = an_order(attention=(Attention("hold:1", "step_exhausted", f"hold: {SECRET}"),))
REFUSED = an_order(validation_errors=(ValidationError("invalid_request", None, f"column missing at {SECRET}"),))
BY_STAFF = an_order(status=Status.CANCELLED, cancel_reason=CancelReason.STAFF, cancel_note=f"see {SECRET}")
STAFF_EVENT = StoredEvent(
    sequence=1,
    type="PedidoActualizado",
    version=1,
    at=NOW,
    actor_type="staff",
    actor_id=f"ana@{SECRET}",
    body=msgspec.json.encode({"data": {"changed": ["needs_attention"], "note": f"restarted {SECRET}"}}),
    notice=None,
)

STAFF = token("admin")
OTHERS = {
    "a customer": token(EVERY_SCOPE, customer_id="c-1001"),
    "a shop's backend": token(EVERY_SCOPE),
    "an admin's token that has a customer": token("admin", customer_id="c-1001"),
}


class Ask(msgspec.Struct, frozen=True):
    """A request that is answered with an order."""

    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()

    async def to(self, world: World, who: str) -> Answered:
        """Send it."""
        return await world.ask(self.method, self.path, json=self.body, token=who, key="k", headers=dict(self.headers))


AT = f"/api/orders/{ORDER_ID}"
NEW = {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "SKU-1", "quantity": 2}]}
LINE = {"sku": "SKU-1", "quantity": 1}
SHIPPED = {"status": "shipped", "carrier": "C", "tracking_number": "T"}
ASKS: dict[str, tuple[Ask, ...]] = {
    "CrearPedido": (Ask("POST", "/api/orders", NEW),),
    "ObtenerPedidoPorId": (Ask("GET", AT),),
    "ObtenerHistorialDePedidos": (Ask("GET", "/api/orders"),),
    "ListarPedidosDeCliente": (Ask("GET", "/api/customers/c-1001/orders"),),
    "ObtenerHistorialDePedido": (Ask("GET", f"{AT}/timeline"),),
    "CancelarPedido": (Ask("DELETE", AT),),
    "CambiarEstadoPedido": (
        Ask("PUT", f"{AT}/status", SHIPPED),
        Ask("PUT", f"{AT}/status", {"status": "delivered"}),
        Ask("PUT", f"{AT}/status", {"status": "cancelled"}),
    ),
    "AgregarProductoAPedido": (Ask("POST", f"{AT}/items", LINE),),
    "QuitarProductoDePedido": (Ask("DELETE", f"{AT}/items/{ITEM_ID}"),),
    "CambiarCantidadDeProducto": (Ask("PUT", f"{AT}/items/{ITEM_ID}/quantity", {"quantity": 2}),),
    "AplicarDescuento": (Ask("POST", f"{AT}/discounts", {"code": "P"}),),
    "QuitarDescuento": (Ask("DELETE", f"{AT}/discounts/P"),),
    "AtenderPedido": (Ask("POST", f"{AT}/attention", {"action": "retry"}),),
}
STAFF_ONLY = {"AtenderPedido"}
EVERY_ASK = [pytest.param(name, ask, id=f"{name}-{n}") for name, asks in ASKS.items() for n, ask in enumerate(asks)]


def told_of(world: World, order: Order, *, replayed: bool = False) -> World:
    """A service in which the order is as it is, wherever it is looked for."""
    reply: Reply = msgspec.structs.replace(make_reply(order, CommandResult()), replayed=replayed)
    world.router.reply = world.router.become = reply
    world.queries.keep(order)
    world.queries.page = OrderPage((order,), None)
    world.queries.events = (STAFF_EVENT,)
    return world


async def test_every_operation_that_shows_an_order_is_tried_here(world: World) -> None:
    document = (await world.ask("GET", "/openapi.json")).json
    shows = {
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for media in answer.get("content", {}).values()
        if media["schema"].get("$ref", "").rpartition("/")[2] in OF_AN_ORDER
    }
    assert shows == ASKS.keys()


@pytest.mark.parametrize("order", [WITH_A_STEP, IN_NEED, REFUSED, BY_STAFF], ids=["step", "need", "fault", "note"])
@pytest.mark.parametrize(("name", "ask"), EVERY_ASK)
@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("prefer", [(), (("prefer", "wait=5"),)], ids=["", "wait"])
async def test_what_is_for_staff_is_shown_to_staff_and_to_nobody_else(
    world: World, order: Order, name: str, ask: Ask, prefer: tuple[tuple[str, str], ...], *, replayed: bool
) -> None:
    told_of(world, order, replayed=replayed)
    ask = replace(ask, headers=prefer)
    for who, their_token in OTHERS.items():
        answered = await ask.to(world, their_token)
        assert answered.status in ((200, 201, 202, 403) if name in STAFF_ONLY else (200, 201, 202)), answered.json
        assert SECRET not in answered.body.decode(), who
    assert SECRET in (await ask.to(world, STAFF)).body.decode()


def test_orders_are_rendered_in_one_place_only() -> None:
    found = {
        file.name
        for file in Path(api.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and {"represent", "make_reply"} & {name.name for name in node.names}
    }
    assert found == {"audience.py"}


@pytest.mark.parametrize("path", [f"{AT}/payments", f"{AT}/payments/status", f"{AT}/payments/{PAYMENT_ID}"])
async def test_payments_have_nothing_that_is_for_staff_only(world: World, path: str) -> None:
    told_of(world, replace(WITH_A_STEP, payments=(a_payment(),), attention=IN_NEED.attention))
    for who in (*OTHERS.values(), STAFF):
        answered = await world.ask("GET", path, token=who)
        assert answered.status == 200
        assert SECRET not in answered.body.decode()


async def test_codes_states_and_our_own_words_stay(world: World) -> None:
    faults = (
        ValidationError("out_of_stock", "SKU-1", "only 3 available"),
        ValidationError("customer_blocked", None, "the customer is blocked"),
        ValidationError("out_of_stock", None, SECRET),
    )
    told_of(world, replace(IN_NEED, validation_errors=faults, cancel_reason=CancelReason.CUSTOMER, cancel_note="mine"))
    shown = (await world.ask("GET", AT, token=OTHERS["a customer"])).json
    assert shown["needs_attention"]
    assert shown["attention"] == []
    assert shown["saga"]["state"] == "needs_attention"
    assert shown["saga"]["last_error"] is None
    assert shown["cancel_note"] == "mine"
    assert shown["validation_errors"] == [
        {"code": "out_of_stock", "sku": "SKU-1", "detail": "only 3 available"},
        {"code": "customer_blocked", "sku": None, "detail": "the customer is blocked"},
        {"code": "out_of_stock", "sku": None, "detail": ""},
    ]


async def test_staff_see_each_reason_and_what_they_may_record_about(world: World) -> None:
    notes = (
        Attention(f"payment:{PAYMENT_ID}", "payment_mismatched", "asked for 1 EUR, taken 2 EUR"),
        Attention("release_hold", "release_declined", "release_hold: invalid_request"),
        Attention("hold:12", "step_exhausted", "hold: answered 503"),
    )
    told_of(world, an_order(attention=notes))
    shown = (await world.ask("GET", AT, token=STAFF)).json["attention"]
    assert [(note["reason"], note["subject"]) for note in shown] == [
        ("payment_mismatched", PAYMENT_ID),
        ("release_declined", None),
        ("step_exhausted", None),
    ]
    assert [note["detail"] for note in shown] == [note.detail for note in notes]


async def test_staff_are_named_and_noted_in_timelines_for_staff(world: World) -> None:
    told_of(world, WITH_A_STEP)
    [seen] = (await world.ask("GET", f"{AT}/timeline", token=STAFF)).json["data"]
    assert seen["actor"] == {"type": "staff", "id": f"ana@{SECRET}"}
    assert seen["note"] == f"restarted {SECRET}"
    [seen] = (await world.ask("GET", f"{AT}/timeline", token=OTHERS["a customer"])).json["data"]
    assert seen["actor"] == {"type": "staff"}
    assert "note" not in seen


async def test_an_answer_that_an_earlier_release_kept_is_shown_like_any_other(world: World) -> None:
    world.router.reply = Reply(document=b'{"id":"x","saga":{"stage":"pay","last_error":"10.0.0.7"}}', version=3)
    shown = (await world.ask("DELETE", AT, token=OTHERS["a customer"])).json
    assert shown == {"id": "x", "saga": {"stage": "pay", "last_error": None}}


@pytest.mark.parametrize("who", [*OTHERS.values(), STAFF])
@pytest.mark.parametrize("code", ["database_unavailable", "order_set_aside", "order_failed", "overloaded"])
async def test_a_problem_does_not_quote_the_error_behind_it(world: World, code: str, who: str) -> None:
    world.router.error = Unavailable(code, f"can't reach {SECRET}")
    answered = await world.ask("DELETE", AT, token=who)
    assert answered.status == 503
    assert SECRET not in answered.body.decode()


def test_every_fault_that_validation_finds_by_itself_is_in_our_own_words() -> None:
    """A fault that is not listed is shown without its text: a new one that names no sku has to be listed."""
    found = {
        call.args[0].value
        for call in ast.walk(ast.parse(getsource(validating)))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "ValidationError"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[1], ast.Constant)  # no sku
    }
    assert found - {"lookup_declined"} == OWN_FAULTS


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("PUT", "/status", {"status": "cancelled"}),
        ("POST", "/items", {"sku": "S", "quantity": 1}),
        ("DELETE", f"/items/{ITEM_ID}", None),
        ("POST", "/discounts", {"code": "C"}),
        ("POST", "/payments", {"method": "card"}),
    ],
)
async def test_whatever_an_administrator_does_is_done_by_staff(method: str, path: str, body: Any) -> None:
    """Else the timeline shows customers their ids, as those of clients."""
    told = []
    for by in (token("admin"), token(customer_id="c-1001")):
        world = World()
        answered = await world.ask(method, f"/api/orders/{ORDER_ID}{path}", json=body, key="k", token=by)
        assert answered.status < 400, answered.body
        told.append(world.router.message.actor.type)
    assert told == [ActorType.STAFF, ActorType.CLIENT]
