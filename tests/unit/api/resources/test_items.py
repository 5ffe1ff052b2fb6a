from __future__ import annotations

from typing import Any

import pytest

from domain.commands import AddItem, ApplyDiscount, ChangeQuantity, RemoveDiscount, RemoveItem
from tests.unit.api.harness import ORDER_ID, World

ORDER = f"/api/orders/{ORDER_ID}"


@pytest.mark.parametrize(
    ("method", "path", "body", "command", "status"),
    [
        ("POST", "/items", {"sku": "SKU-2", "quantity": 3}, AddItem("SKU-2", 3), 201),
        ("PUT", "/items/i-1/quantity", {"quantity": 4}, ChangeQuantity("i-1", 4), 200),
        ("DELETE", "/items/i-1", None, RemoveItem("i-1"), 200),
        ("POST", "/discounts", {"code": "WELCOME10"}, ApplyDiscount("WELCOME10"), 200),
        ("DELETE", "/discounts/WELCOME10", None, RemoveDiscount("WELCOME10"), 200),
    ],
)
async def test_each_edit_becomes_its_command(
    world: World, method: str, path: str, body: Any, command: object, status: int
) -> None:
    answered = await world.ask(method, ORDER + path, json=body, key="k")
    assert answered.status == status
    assert answered.headers["etag"] == '"1"'
    assert world.router.asked[0][0] == ORDER_ID
    assert world.router.message.body == command
    assert world.router.message.keyed


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/items", {"sku": "S", "quantity": 0}, "invalid_quantity"),
        ("PUT", "/items/i-1/quantity", {"quantity": 10_001}, "invalid_quantity"),
        ("POST", "/discounts", {"code": ""}, "invalid_request"),
        ("POST", "/discounts", {"code": "a/b"}, "invalid_request"),
    ],
)
async def test_an_edit_out_of_bounds_is_refused(world: World, method: str, path: str, body: Any, code: str) -> None:
    answered = await world.ask(method, ORDER + path, json=body)
    assert (answered.status, answered.code) == (422, code)
    assert not world.router.asked


async def test_an_edit_of_what_can_be_no_order_is_not_found(world: World) -> None:
    answered = await world.ask("POST", "/api/orders/42/items", json={"sku": "S", "quantity": 1})
    assert (answered.status, answered.code) == (404, "order_not_found")
    assert not world.router.asked


@pytest.mark.parametrize(("written", "read"), [("2", 2), ("2.0", 2), ("2e1", 20)])
async def test_a_whole_number_is_one_however_it_is_written(world: World, written: str, read: int) -> None:
    body = b'{"sku": "SKU-1", "quantity": %s}' % written.encode()
    headers = {"content-type": "application/json"}
    assert (await world.ask("POST", f"{ORDER}/items", headers=headers, chunks=(body,))).status == 201
    assert world.router.message.body == AddItem("SKU-1", read)


@pytest.mark.parametrize("written", ["2.5", '"2"', "true", "1e400", "0.0"])
async def test_what_is_no_whole_number_is_refused(world: World, written: str) -> None:
    body = b'{"sku": "SKU-1", "quantity": %s}' % written.encode()
    headers = {"content-type": "application/json"}
    assert (await world.ask("POST", f"{ORDER}/items", headers=headers, chunks=(body,))).status in (400, 422)
    assert not world.router.asked
