"""To whom and to what an idempotency key belongs: the subject, the token's customer, the method, and the path's things."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from api.access.idempotency import fingerprint, message_id_for, message_ids_of, order_id_for
from domain.commands import Deliver, Message, Ship
from tests.unit.api.harness import KEY, ORDER_ID, PAYMENT_ID, World, a_payment, an_order, token

NEW = {"currency": "EUR", "items": [{"sku": "SKU-1", "quantity": 1}]}
ITEM_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01"
SHIPMENT_ID = "0198f7a2-9abc-7aa0-9a0e-2f8f6d3c1bef"
SHIPPED = {"status": "shipped", "carrier": "Correos", "tracking_number": "P"}

# Method, path and body of every command about an order that exists, with its ids as {o} (order), {i} (item) and {s} (shipment).
COMMANDS: list[tuple[str, str, Any]] = [
    ("DELETE", "/api/orders/{o}", None),
    ("PUT", "/api/orders/{o}/status", {"status": "cancelled"}),
    ("PUT", "/api/orders/{o}/status", SHIPPED),
    ("PUT", "/api/orders/{o}/status", {**SHIPPED, "lines": [{"item_id": "{i}", "quantity": 1}]}),
    ("PUT", "/api/orders/{o}/status", {"status": "delivered"}),
    ("PUT", "/api/orders/{o}/status", {"status": "delivered", "shipment_id": "{s}"}),
    ("POST", "/api/orders/{o}/items", {"sku": "SKU-1", "quantity": 1}),
    ("DELETE", "/api/orders/{o}/items/{i}", None),
    ("PUT", "/api/orders/{o}/items/{i}/quantity", {"quantity": 1}),
    ("POST", "/api/orders/{o}/discounts", {"code": "C"}),
    ("DELETE", "/api/orders/{o}/discounts/C", None),
    ("POST", "/api/orders/{o}/payments", {"method": "card"}),
    ("POST", "/api/orders/{o}/attention", {"action": "retry"}),
]


def mixed(text: str) -> str:
    """Every other letter as a capital."""
    return "".join(each.upper() if n % 2 else each for n, each in enumerate(text))


def written(value: Any, how: Any) -> Any:
    """A path or body with its ids written in some way."""
    if isinstance(value, dict):
        return {name: written(each, how) for name, each in value.items()}
    if isinstance(value, list):
        return [written(each, how) for each in value]
    if isinstance(value, str):
        return value.replace("{o}", how(ORDER_ID)).replace("{i}", how(ITEM_ID)).replace("{s}", how(SHIPMENT_ID))
    return value


async def sent(
    method: str, path: str, body: Any, *, key: str | None = "k", by: str | None = None
) -> tuple[str, Message]:
    world = World()
    answered = await world.ask(method, path, json=body, key=key, token=by or token("admin"))
    assert answered.status < 400, answered.body
    assert len(world.router.asked) == 1
    return world.router.asked[0]


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
@pytest.mark.parametrize("how", [str.upper, mixed, str.title])
async def test_a_command_is_the_same_however_its_ids_are_written(method: str, path: str, body: Any, how: Any) -> None:
    """The same key with the order's id in capitals was another message: a second charge, a second line."""
    order_id, plain = await sent(method, written(path, str), written(body, str))
    order_id_too, other = await sent(method, written(path, how), written(body, how))
    assert (order_id, order_id_too) == (ORDER_ID, ORDER_ID)
    assert (other.id, other.fingerprint, other.body) == (plain.id, plain.fingerprint, plain.body)
    if isinstance(plain.body, Ship) and plain.body.lines:
        assert plain.body.lines[0].item_id == ITEM_ID
    if isinstance(plain.body, Deliver):
        assert plain.body.shipment_id in (None, SHIPMENT_ID)


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
@pytest.mark.parametrize("how", [str.upper, mixed, str.title])
async def test_what_an_earlier_release_remembered_by_the_path_as_written_is_found(
    method: str, path: str, body: Any, how: Any
) -> None:
    _, message = await sent(method, written(path, how), written(body, how))
    assert message_id_for("tester", method, written(path, how), "k") in message.former_ids


@pytest.mark.parametrize("how", [str.upper, mixed])
@pytest.mark.parametrize("path", ["", "/payments", f"/payments/{PAYMENT_ID}", "/payments/status", "/timeline"])
async def test_what_is_shown_is_found_however_its_ids_are_written(path: str, how: Any) -> None:
    world = World()
    world.queries.keep(an_order(payments=(a_payment(),)))
    answers = [
        await world.ask("GET", f"/api/orders/{how(ORDER_ID)}{path.replace(PAYMENT_ID, how(PAYMENT_ID))}"),
        await world.ask("GET", f"/api/orders/{ORDER_ID}{path}"),
    ]
    assert [each.status for each in answers] == [200, 200]
    assert answers[0].body == answers[1].body


def test_a_token_without_a_customer_derives_the_ids_of_the_first_release() -> None:
    assert order_id_for("gateway", "1") == "5c331291-210a-8e95-a0c1-a39a68b566c2"
    ids = message_ids_of("gateway", None, "POST", f"/api/orders/{ORDER_ID}/payments", "1")
    assert ids.id == message_id_for("gateway", "POST", f"/api/orders/{ORDER_ID}/payments", "1")
    assert ids.former == ()


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS[:-1])
async def test_a_key_belongs_to_the_customer_of_the_token_too(method: str, path: str, body: Any) -> None:
    by = [token(customer_id=customer) for customer in ("c-1001", "c-1002")]
    by.append(token())
    messages = [(await sent(method, written(path, str), written(body, str), by=each))[1] for each in by]
    assert len({message.id for message in messages}) == 3
    assert messages[0].former_ids[0] == messages[2].id


UUID_KEY = "0198f7a2-aaaa-7aa0-9a0e-2f8f6d3c1bff"


@pytest.mark.parametrize("by", [token("admin"), token(customer_id="c-1001")])
@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "/api/orders", {**NEW, "customer_id": "c-1001"}), COMMANDS[0], COMMANDS[-2]]
)
async def test_a_key_that_is_a_uuid_is_the_same_in_capitals(method: str, path: str, body: Any, by: str) -> None:
    """UUIDs are compared without case wherever one is taken: the second was another order, or another charge."""
    asked = [
        await sent(method, written(path, str), written(body, str), key=how(UUID_KEY), by=by)
        for how in (str.lower, str.upper, mixed)
    ]
    assert len({order_id for order_id, _ in asked}) == 1
    assert len({message.id for _, message in asked}) == 1


async def test_a_key_that_is_no_uuid_has_its_case() -> None:
    asked = [await sent("POST", "/api/orders", NEW, key=key, by=token(customer_id="c-1001")) for key in ("Key", "key")]
    assert len({message.id for _, message in asked}) == 2


@pytest.mark.parametrize("customer_id", [None, "c-1001"])
async def test_a_repeat_of_a_key_in_capitals_meets_what_was_made_while_keys_were_taken_as_they_were_written(
    customer_id: str | None,
) -> None:
    capital = UUID_KEY.upper()
    for made in {order_id_for("tester", capital), order_id_for("tester", capital, customer_id)}:
        world = World()
        world.queries.keep(replace(an_order(), id=made))
        by = token(customer_id=customer_id) if customer_id else token("admin")
        await world.ask("POST", "/api/orders", json={**NEW, "customer_id": "c-1001"}, key=capital, token=by)
        ((order_id, message),) = world.router.asked
        assert order_id == made
        for customer in {None, customer_id}:
            former = message_id_for("tester", "POST", "/api/orders", capital, customer)
            assert former in message.former_ids


async def test_a_shared_gateway_makes_an_order_for_each_customer_under_one_key() -> None:
    """Behind a gateway with one ``sub``, the same key and body showed one customer the other's order."""
    orders = [
        (await sent("POST", "/api/orders", NEW, by=token(sub="gateway", customer_id=customer)))[0]
        for customer in ("c-1001", "c-1002")
    ]
    assert orders[0] != orders[1]
    assert order_id_for("gateway", "k") not in orders


async def test_a_repeat_across_the_upgrade_meets_the_order_that_the_first_release_made() -> None:
    world = World()
    former = order_id_for("gateway", "k")
    world.queries.keep(replace(an_order(), id=former))
    await world.ask("POST", "/api/orders", json=NEW, key="k", token=token(sub="gateway", customer_id="c-1001"))
    await world.ask("POST", "/api/orders", json=NEW, key="k", token=token(sub="gateway", customer_id="c-1002"))
    (first, message), (second, _) = world.router.asked
    assert first == former
    assert message_id_for("gateway", "POST", "/api/orders", "k") in message.former_ids
    assert second != former


async def test_a_promotion_is_not_made_twice_across_the_upgrade() -> None:
    world = World()
    body = {"code": "P", "kind": "free_shipping"}
    by = token(customer_id="c-1001")
    first = await world.ask("POST", "/api/promotions", json=body, key="k", token=token())
    assert first.status == 201
    again = await world.ask("POST", "/api/promotions", json=body, key="k", token=by)
    assert (again.status, again.headers.get("idempotent-replayed"), again.body) == (201, "true", first.body)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/orders", {**NEW, "customer_id": "c", "discount_codes": ["Summer", "B"]}),
        ("POST", "/api/orders/{o}/discounts", {"code": "Summer"}),
        ("DELETE", "/api/orders/{o}/discounts/Summer", None),
    ],
)
async def test_a_command_is_the_same_in_whatever_case_its_discount_codes_are(method: str, path: str, body: Any) -> None:
    """``SUMMER`` and ``summer`` are one code, and were two contents of one key, or two messages."""

    def capital(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("Summer", "SUMMER"))

    order_id, plain = await sent(method, written(path, str), body)
    order_id_too, other = await sent(method, capital(written(path, str)), capital(body))
    assert (other.id, other.fingerprint, order_id_too) == (plain.id, plain.fingerprint, order_id)
    # The first release compared bodies as they were written, and took the path so too.
    assert other.former_fingerprint == ("" if body is None else fingerprint(capital(body), []))
    assert message_id_for("tester", method, capital(written(path, str)), "k") in {other.id, *other.former_ids}


@pytest.mark.parametrize("path", ["/api/customers/C-1/erasure", "/api/dead-letters/Ab-1/resend", "/api/orders/X/items"])
def test_what_is_no_code_and_no_uuid_keeps_its_case_in_a_path(path: str) -> None:
    assert message_ids_of("s", None, "POST", path, "k").id == message_id_for("s", "POST", path, "k")


async def test_the_case_of_a_promotion_that_is_made_is_content_and_that_of_one_that_is_changed_is_not() -> None:
    world = World()
    made = {"code": "Summer", "kind": "free_shipping"}
    assert (await world.ask("POST", "/api/promotions", json=made, key="k")).status == 201
    other = await world.ask("POST", "/api/promotions", json={**made, "code": "SUMMER"}, key="k")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    first = await world.ask("PATCH", "/api/promotions/Summer", json={"active": False}, key="p")
    again = await world.ask("PATCH", "/api/promotions/SUMMER", json={"active": False}, key="p")
    assert (first.status, again.status, again.headers.get("idempotent-replayed")) == (200, 200, "true")
    assert again.body == first.body


@pytest.mark.parametrize("time", ["2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000Z", "2030-01-01T02:00:00+02:00"])
async def test_a_promotion_that_the_first_release_made_is_told_again_however_its_times_were_written(time: str) -> None:
    """A repeat across the upgrade was told that its key had been used with other content."""
    world = World()
    body = {"code": "P", "kind": "free_shipping", "ends_at": time}
    first = await world.ask("POST", "/api/promotions", json=body, key="k")
    ((answer_id, kept),) = world.answers.rows.items()
    world.answers.rows[answer_id] = replace(kept, fingerprint=fingerprint(body, []))
    again = await world.ask("POST", "/api/promotions", json=body, key="k")
    assert (again.status, again.headers.get("idempotent-replayed"), again.body) == (201, "true", first.body)


SAME_NUMBERS = ["3", "3.0", "3e0", "3.00e0", "0.3e1", "30e-1", "3.000000000000000000000000"]


@pytest.mark.parametrize("number", SAME_NUMBERS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/orders", '{"customer_id": "c", "currency": "EUR", "items": [{"sku": "S", "quantity": %s}]}'),
        ("/api/orders/{o}/items", '{"sku": "S", "quantity": %s}'),
        ("/api/orders/{o}/payments", '{"method": "card", "amount": %s}'),
    ],
)
async def test_numbers_are_equal_by_value_under_a_key(path: str, body: str, number: str) -> None:
    """``3`` and ``3.0`` under one key were two contents."""
    world = World()
    headers = {"content-type": "application/json"}
    for each in ("3", number):
        raw = (body % each).encode()
        answered = await world.ask("POST", written(path, str), key=KEY, headers=headers, chunks=(raw,))
        assert answered.status < 300, answered.body
    (_, first), (_, second) = world.router.asked
    assert (first.id, first.fingerprint, first.body) == (second.id, second.fingerprint, second.body)


@pytest.mark.parametrize(
    ("number", "amount"),
    [
        ("2154.0", 2154),
        ("2.154e3", 2154),
        ("9007199254740991.0", 9007199254740991),
        ("9007199254740990.9999999999999999", None),
        ("2154.00000000000000000001", None),
        ("0.99999999999999999999", None),
        ("9007199254740992.0", None),
        ("1e400", None),
        ("1e999999999", None),
        ("1e99999999999999999999999999", None),
        ("-1e99999999999999999999999999", None),
        ("1e-99999999999999999999999999", None),
        ("-2154.0", None),
        ("2154.5", None),
        ("0e0", None),
        ("NaN", None),
        ("Infinity", None),
        ("9" * 5000, None),
    ],
)
async def test_an_amount_is_exact_and_bounded(number: str, amount: int | None) -> None:
    world = World()
    raw = b'{"method": "card", "amount": %s}' % number.encode()
    headers = {"content-type": "application/json"}
    answered = await world.ask("POST", f"/api/orders/{ORDER_ID}/payments", key="k", headers=headers, chunks=(raw,))
    if amount is None:
        assert answered.status in (400, 422)
        assert not world.router.asked
    else:
        assert world.router.message.body.amount == amount  # type: ignore[union-attr]


async def test_a_text_with_a_number_in_it_stays_as_it_is() -> None:
    world = World()
    note = "[1.50, 3e0] {\u00e9: 2.0}"
    body = {"status": "cancelled", "reason": note}
    await world.ask("PUT", f"/api/orders/{ORDER_ID}/status", json=body, key="k")
    assert world.router.message.body.note == note  # type: ignore[union-attr]
