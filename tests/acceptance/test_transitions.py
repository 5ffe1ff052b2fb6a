"""Every status and every command, over HTTP: what happens, or 409 ``illegal_transition`` with exactly the commands that are
legal (docs/contract.md, "The seven stages").

Each status is held by what the partners do: ``created`` by an edit that can't be validated, ``confirmed`` by a ProductSvc
that does not say whether the hold is firm, ``cancelling`` by a PaymentSvc that does not say whether the money went back.
``paid`` lasts only while no order number can be had: its row is in ``test_rest_table_broken.py``, where the numbers are locked; here
it is shown that nobody sees it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.scenarios import GIVENS, SHIPPED, Names, new_order, pay, promotion
from tests.acceptance.shop import Shop

EDITS = ["add_item", "change_quantity", "remove_item", "apply_discount", "remove_discount"]
COMMANDS = [*EDITS, "pay", "cancel", "ship", "deliver"]
LEGAL = {
    "created": [*EDITS, "cancel"],
    "validated": [*EDITS, "pay", "cancel"],
    "confirmed": ["cancel"],
    "prepared": ["cancel", "ship"],
    "shipped": ["deliver"],
    "delivered": [],
    "cancelling": [],
    "cancelled": [],
}
# Repeating these is a success that changes nothing (docs/contract.md, "Shipments").
REPEATED = {"delivered": ["deliver"], "cancelling": ["cancel"], "cancelled": ["cancel"]}
# What a legal command is answered with, and the status that the answer shows.
BECOMES = {
    ("created", "cancel"): (202, "cancelling"),
    ("validated", "pay"): (202, None),
    ("validated", "cancel"): (202, "cancelling"),
    ("confirmed", "cancel"): (202, "cancelling"),
    ("prepared", "cancel"): (202, "cancelling"),
    ("prepared", "ship"): (200, "shipped"),
    ("shipped", "deliver"): (200, "delivered"),
    ("delivered", "deliver"): (200, "delivered"),
    ("cancelling", "cancel"): (202, "cancelling"),
    ("cancelled", "cancel"): (200, "cancelled"),
    **{(status, edit): (201 if edit == "add_item" else 200, "created") for edit in EDITS for status in ("created", "validated")},
}  # fmt: skip
PARTLY_SHIPPED = ["ship", "deliver"]


@pytest.fixture(scope="module")
def code(shop: Shop) -> Iterator[str]:
    """A discount that any order may have."""
    yield promotion(shop, combinable=True)
    shop.partner("sandbox", "DELETE", "/knobs")


def command(shop: Shop, name: str, given: Names, code: str) -> tuple[int, Any]:
    """Ask an order for a command: status and JSON."""
    at = f"/api/orders/{given['order']}"
    method, path, body = {
        "add_item": ("POST", "/items", {"sku": "load-sku-9", "quantity": 1}),
        "change_quantity": ("PUT", f"/items/{given['item']}/quantity", {"quantity": 7}),
        "remove_item": ("DELETE", f"/items/{given['item']}", None),
        "apply_discount": ("POST", "/discounts", {"code": code}),
        "remove_discount": ("DELETE", f"/discounts/{code}", None),
        "pay": ("POST", "/payments", {"method": "card"}),
        "cancel": ("DELETE", "", None),
        "ship": ("PUT", "/status", SHIPPED),
        "deliver": ("PUT", "/status", {"status": "delivered"}),
    }[name]
    status, told, _ = shop.ask(method, at + path, body, key=str(uuid4()))
    return status, told


@pytest.mark.parametrize("status", LEGAL)
def test_what_a_status_does_not_allow_is_refused_with_what_it_allows_and_changes_nothing(
    shop: Shop, code: str, status: str
) -> None:
    given = GIVENS[status](shop)
    refused = [name for name in COMMANDS if name not in LEGAL[status] + REPEATED.get(status, [])]
    before = shop.order(given["order"])
    assert before["status"] == status
    for name in refused:
        answer, problem = command(shop, name, given, code)
        assert (answer, problem["code"]) == (409, "illegal_transition"), name
        assert problem["allowed"] == LEGAL[status], name
    after = shop.order(given["order"])
    assert [after[field] for field in ("status", "revision", "items")] == [status, before["revision"], before["items"]]
    assert len(after["payments"]) == len(before["payments"])


@pytest.mark.parametrize(
    ("status", "name"),
    [(status, name) for status in LEGAL for name in LEGAL[status] + REPEATED.get(status, [])],
)
def test_what_a_status_allows_is_done(shop: Shop, code: str, status: str, name: str) -> None:
    given = GIVENS[status](shop)
    if name == "remove_discount":
        assert command(shop, "apply_discount", given, code)[0] == 200
        shop.reached(given["order"], status)
    before = shop.order(given["order"])
    assert before["status"] == status
    answer, told = command(shop, name, given, code)
    expected, becomes = BECOMES[status, name]
    assert answer == expected, told
    if becomes is not None:
        assert told["status"] == becomes
        is_repeated = name in REPEATED.get(status, [])
        assert (told["updated_at"] == before["updated_at"]) is is_repeated or status == "cancelling"


def test_an_order_of_which_a_part_is_under_way_may_be_shipped_and_delivered_but_not_cancelled(
    shop: Shop, code: str
) -> None:
    given = GIVENS["partly_shipped"](shop)
    assert shop.order(given["order"])["status"] == "prepared"
    for name in [*EDITS, "pay", "cancel"]:
        answer, problem = command(shop, name, given, code)
        assert (answer, problem["code"], problem["allowed"]) == (409, "illegal_transition", PARTLY_SHIPPED), name
    assert command(shop, "deliver", given, code)[1]["status"] == "prepared"
    assert command(shop, "ship", given, code)[1]["status"] == "shipped"
    assert command(shop, "deliver", given, code)[1]["status"] == "delivered"


def test_an_order_is_paid_and_confirmed_in_one_commit(shop: Shop) -> None:
    order_id = new_order(shop)["id"]
    pay(shop, order_id)
    order = shop.reached(order_id, "prepared")
    assert order["paid_at"] == order["confirmed_at"]
    assert order["number"].startswith("ORD-")
    _, timeline, _ = shop.ask("GET", f"/api/orders/{order_id}/timeline")
    versions = {event["type"]: event["version"] for event in timeline["data"]}
    assert versions["PagoRecibido"] == versions["PedidoConfirmado"]
