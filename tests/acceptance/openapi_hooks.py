"""What schemathesis is told of the service beyond its OpenAPI document; loaded by schemathesis itself.

It puts real things in the place of those that it makes up, so that operations get past "there is no such order"; knows
the refusals that say something of the state and not of the request; and notes what each operation was answered.
Environment: ``API``, ``ADMIN_TOKEN``, ``CUSTOMER`` (whose orders are made), ``LETTER_ID`` of a dead letter, ``ANSWERS`` (a
file for the notes).
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import schemathesis
import urllib3
from schemathesis import Case, CheckContext, HookContext, Response

REAL_THINGS_MAX = 8  # for each operation: the rest of its requests go where they would
ANSWER_LIMIT_S = 30.0

# A request that fits the document is refused with 400, 412 or 422 for these reasons only: what there is, not how it is
# written. Any command may meet another version, and a key that stands for other content.
OF_ANY_COMMAND = {"version_conflict", "idempotency_key_reused"}
DISCOUNT = {
    "discount_not_found",
    "discount_not_active",
    "discount_not_applicable",
    "discount_exhausted",
    "discount_not_combinable",
}
OF_STATE: dict[str, set[str]] = {
    "CrearPedido": {"customer_required", "metadata_too_large", "quantity_out_of_range", *DISCOUNT},
    "AgregarProductoAPedido": {"too_many_lines", "quantity_out_of_range"},
    "AplicarDescuento": DISCOUNT,
    "ProcesarPago": {"amount_out_of_range"},
    "CambiarEstadoPedido": {"quantity_out_of_range"},
    "CrearPromocion": {"invalid_promotion", "time_out_of_range"},
    "CambiarPromocion": {"invalid_promotion", "time_out_of_range"},
    "ObtenerHistorialDePedidos": {"invalid_cursor", "time_out_of_range"},
    "ListarPedidosDeCliente": {"invalid_cursor", "time_out_of_range"},
    "ListarPromociones": {"invalid_cursor"},
    "ObtenerEstadisticasPedidos": {
        "invalid_parameter",
        "too_many_buckets",
        "time_out_of_range",
    },  # ``from`` after ``to``
}
STATE_STATUSES = {400, 412, 422}

_http = urllib3.PoolManager(retries=False)
_answers: dict[str, Counter[str]] = defaultdict(Counter)
_supplied: Counter[str] = Counter()
_keys: set[str | None] = {None}
_checked: Counter[str] = Counter()


def ask(method: str, path: str, body: object = None) -> Any:
    """Ask the service beside schemathesis; what is asked here has to succeed."""
    answer = _http.request(
        method,
        os.environ["API"] + path,
        body=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['ADMIN_TOKEN']}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
            "Prefer": "wait=10",
        },
        timeout=ANSWER_LIMIT_S,
    )
    assert answer.status < 300, (method, path, answer.status, answer.data)
    return json.loads(answer.data) if answer.data else None


def customer() -> str:
    """Whose orders are made."""
    return os.environ["CUSTOMER"]


def new_order() -> Any:
    """An order that waits for its payment."""
    items = [{"sku": "load-sku-1", "quantity": 2}, {"sku": "load-sku-2", "quantity": 1}]
    return ask("POST", "/api/orders", {"customer_id": customer(), "currency": "EUR", "items": items})


def paid_order() -> tuple[Any, Any]:
    """An order that waits to be shipped, and its payment."""
    order = new_order()
    payment = ask("POST", f"/api/orders/{order['id']}/payments", {"method": "card"})
    while ask("GET", f"/api/orders/{order['id']}")["status"] in {"validated", "paid", "confirmed"}:
        pass
    return order, payment


def new_promotion() -> str:
    """A code that any order may have."""
    code = f"P{uuid4().hex[:20]}"
    terms = {"code": code, "kind": "percentage", "fraction": "0.1000", "combinable": True}
    ask("POST", "/api/promotions", terms)
    return code


def supply(case: Case[Any]) -> None:
    """Put something real in the place of what was made up, as the operation needs it to succeed."""
    operation = case.operation.definition.raw["operationId"]
    path: dict[str, Any] = case.path_parameters
    body: Any = case.body
    match operation:
        case "ObtenerPago":
            order, payment = paid_order()
            path |= {"order_id": order["id"], "payment_id": payment["payment_id"]}
        case "CambiarEstadoPedido":
            path["order_id"] = paid_order()[0]["id"]
            if _supplied[f"{case.method} {case.path}"] % 2:  # all that a customer may do of it
                body.clear()
                body["status"] = "cancelled"
            elif body["status"] == "delivered":
                shipped = {"status": "shipped", "carrier": "SEUR", "tracking_number": "T-1"}
                ask("PUT", f"/api/orders/{path['order_id']}/status", shipped)
                body.pop("shipment_id", None)
            else:
                body.pop("lines", None)
        case "AplicarDescuento":
            path["order_id"] = new_order()["id"]
            body["code"] = new_promotion()
        case "QuitarDescuento":
            path |= {"order_id": new_order()["id"], "code": new_promotion()}
            ask("POST", f"/api/orders/{path['order_id']}/discounts", {"code": path["code"]})
        case "ProcesarPago":
            path["order_id"] = new_order()["id"]
            body.pop("amount", None)
        case "CrearPromocion":
            body["code"] = f"P{uuid4().hex[:20]}"
        case "CrearPedido":
            body |= {"customer_id": customer(), "discount_codes": []}
        case "ListarPedidosDeCliente":
            path["customer_id"] = customer()
        case _ if "item_id" in path:
            order = new_order()
            path |= {"order_id": order["id"], "item_id": order["items"][0]["id"]}
        case _ if "order_id" in path:
            path["order_id"] = new_order()["id"]
        case _ if "code" in path:
            path["code"] = new_promotion()
        case _ if "letter_id" in path:
            path["letter_id"] = os.environ["LETTER_ID"]
    if case.query:
        case.query.pop("cursor", None)
    if case.headers:
        case.headers.pop("If-Match", None)


def is_good(case: Case[Any]) -> bool:
    """Whether a request fits the document in all of its parts."""
    return case.meta is not None and case.meta.generation.mode.is_positive


def is_alone(case: Case[Any]) -> bool:
    """Whether a request is no step of a stateful scenario: those have the links of the document."""
    return case.meta is not None and case.meta.phase.name != "stateful"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Let some of the good requests meet something real."""
    if not (is_good(case) and is_alone(case)):
        return
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if key in _keys:  # The same few are made up again and again, and a key stands for one wish.
        case.headers["Idempotency-Key"] = str(uuid4())
    _keys.add(key)
    label = f"{case.method} {case.path}"
    if _supplied[label] < REAL_THINGS_MAX:
        _supplied[label] += 1
        supply(case)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Note what was answered."""
    _answers[f"{case.method} {case.path}"][str(response.status_code)] += 1


@schemathesis.hook
def filter_failure(context: HookContext, failure: Any, case: Case[Any], response: Response) -> bool:
    """DELETE of an order is CancelarPedido: it stays, and is shown as cancelled (docs/contract.md, "Commands")."""
    if type(failure).__name__ != "UseAfterFree" or not case.path.startswith("/api/orders/{order_id}"):
        return True
    order = ask("GET", f"/api/orders/{case.path_parameters['order_id']}")
    return order["status"] not in {"cancelled", "cancelling"}


@schemathesis.check
def good_requests_are_refused_for_what_there_is(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A request that fits the document is never told that it is badly written."""
    if not is_good(case) or response.status_code not in STATE_STATUSES:
        return
    operation = case.operation.definition.raw["operationId"]
    code = response.json()["code"]
    _checked[f"{operation} {code}"] += 1
    assert code in OF_STATE.get(operation, set()) | OF_ANY_COMMAND, f"{operation} is not known to answer {code}"


@schemathesis.check
def every_code_is_documented(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """What a problem's ``code`` may be is in the document, with an example; only routing speaks for no operation."""
    if response.headers.get("content-type") != ["application/problem+json"]:
        return
    _checked["documented"] += 1
    code = response.json()["code"]
    if code in {"not_found", "method_not_allowed"}:
        return
    described = case.operation.definition.raw["responses"][str(response.status_code)]
    assert code in described["content"]["application/problem+json"]["examples"], code


@atexit.register
def _tell() -> None:
    told = {"answers": _answers, "supplied": _supplied, "checked": _checked}
    Path(os.environ["ANSWERS"]).write_text(json.dumps(told))
