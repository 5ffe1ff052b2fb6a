from __future__ import annotations

import pytest

from tests.unit.api.driving import ORDER_ID, World

ORDER = f"/api/orders/{ORDER_ID}"


@pytest.mark.parametrize(
    "path", ["/", "/nix", "/api", "/api/orders/", f"{ORDER}/", f"{ORDER}/nix", "/api/orders//items"]
)
async def test_a_path_that_leads_nowhere_is_a_problem_too(world: World, path: str) -> None:
    answered = await world.ask("GET", path)
    assert (answered.status, answered.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/api/orders", "GET, POST"),
        ("POST", ORDER, "DELETE, GET"),
        ("GET", f"{ORDER}/items", "POST"),
        ("PUT", "/api/promotions/P", "DELETE, GET, PATCH"),
        ("POST", "/health/live", "GET"),
        ("DELETE", "/api/orders/statistics", "GET"),
        ("PUT", f"{ORDER}/payments/status", "GET"),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_which_are(world: World, method: str, path: str, allow: str) -> None:
    answered = await world.ask(method, path)
    assert (answered.status, answered.code) == (405, "method_not_allowed")
    assert answered.headers["allow"] == allow


async def test_statistics_are_not_taken_for_an_orders_id(world: World) -> None:
    assert (await world.ask("GET", "/api/orders/statistics")).json == {"orders": 1}


async def test_the_service_describes_itself(world: World) -> None:
    assert (await world.ask("GET", "/openapi.json")).json["openapi"] == "3.1.0"
    assert (await world.ask("GET", "/asyncapi.json")).json["asyncapi"] == "3.0.0"
