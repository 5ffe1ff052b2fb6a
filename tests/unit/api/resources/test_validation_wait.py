"""``Prefer: wait`` on everything that a validation follows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.order.replies import Reply
from domain.order import Status
from domain.representation import represent
from tests.unit.api.harness import ORDER_ID, World, an_order

ORDER = f"/api/orders/{ORDER_ID}"
EDITS: list[tuple[str, str, Any, int]] = [
    ("POST", f"{ORDER}/items", {"sku": "S", "quantity": 1}, 201),
    ("PUT", f"{ORDER}/items/i/quantity", {"quantity": 1}, 200),
    ("DELETE", f"{ORDER}/items/i", None, 200),
    ("POST", f"{ORDER}/discounts", {"code": "C"}, 200),
    ("DELETE", f"{ORDER}/discounts/C", None, 200),
]


def validated() -> Reply:
    document = msgspec.json.encode(represent(an_order(version=3, status=Status.VALIDATED)))
    return Reply(document=document, version=3)


@pytest.mark.parametrize(("method", "path", "body", "status"), EDITS)
@pytest.mark.parametrize("key", [None, "k"])
async def test_an_edit_waits_for_what_the_validation_says(
    method: str, path: str, body: Any, status: int, key: str | None
) -> None:
    """The answer was ``created`` with the new line at 0, and paying at once was 409."""
    world = World()
    world.router.become = validated()
    answered = await world.ask(method, path, json=body, key=key, headers={"prefer": "wait=5"})
    assert (answered.status, answered.json["status"], answered.headers["etag"]) == (status, "validated", '"3"')
    assert answered.headers["preference-applied"] == "wait=5"
    assert world.router.waited == [(ORDER_ID, "validated", 5.0)]


@pytest.mark.parametrize(("method", "path", "body", "status"), EDITS)
async def test_an_edit_that_is_validated_already_is_read(method: str, path: str, body: Any, status: int) -> None:
    world = World()
    world.queries.keep(an_order(version=4, status=Status.VALIDATED))
    answered = await world.ask(method, path, json=body, headers={"prefer": "wait=5"})
    assert (answered.status, answered.json["status"], answered.headers["etag"]) == (status, "validated", '"4"')


@pytest.mark.parametrize(("method", "path", "body", "status"), EDITS)
async def test_an_edit_that_can_not_be_read_is_done_all_the_same(
    method: str, path: str, body: Any, status: int
) -> None:
    world = World()
    world.queries.away = True
    answered = await world.ask(method, path, json=body, headers={"prefer": "wait=5"})
    assert (answered.status, answered.json["status"]) == (status, "created")


@pytest.mark.parametrize(("method", "path", "body", "status"), EDITS)
async def test_an_edit_without_the_preference_does_not_wait(method: str, path: str, body: Any, status: int) -> None:
    world = World()
    answered = await world.ask(method, path, json=body)
    assert (answered.status, answered.json["status"]) == (status, "created")
    assert "preference-applied" not in answered.headers
    assert not world.router.waited
