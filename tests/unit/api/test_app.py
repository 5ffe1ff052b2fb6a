from __future__ import annotations

import pytest

from domain.commands import RemoveDiscount
from tests.unit.api.harness import ORDER_ID, World, an_order

ORDER = f"/api/orders/{ORDER_ID}"


@pytest.mark.parametrize("path", ["/nix", "/api", "/api/orders/", f"{ORDER}/", f"{ORDER}/nix", "/api/orders//items"])
async def test_a_path_that_leads_nowhere_is_a_problem_too(world: World, path: str) -> None:
    answered = await world.ask("GET", path)
    assert (answered.status, answered.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/api/orders", "GET, HEAD, POST"),
        ("POST", ORDER, "DELETE, GET, HEAD"),
        ("GET", f"{ORDER}/items", "POST"),
        ("HEAD", f"{ORDER}/items", "POST"),
        ("PUT", "/api/promotions/P", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/health/live", "GET, HEAD"),
        ("DELETE", "/api/orders/statistics", "GET, HEAD"),
        ("PUT", f"{ORDER}/payments/status", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_which_are(world: World, method: str, path: str, allow: str) -> None:
    answered = await world.ask(method, path)
    assert (answered.status, answered.headers["allow"]) == (405, allow)
    assert method == "HEAD" or answered.code == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (ORDER, 200),
        ("/api/orders/0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b99", 404),
        ("/api/orders/statistics", 200),
        ("/health/live", 200),
        ("/docs", 200),
        ("/nix", 404),
    ],
)
async def test_head_is_get_without_its_body(world: World, path: str, status: int) -> None:
    world.queries.keep(an_order())
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    got, head = await world.ask("GET", path, headers=trace), await world.ask("HEAD", path, headers=trace)
    assert (got.status, head.status) == (status, status)
    assert (len(got.body), head.body) == (int(head.headers["content-length"]), b"")
    changing = {"ratelimit-remaining", "ratelimit-reset"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in got.headers.items() if k not in changing
    }


async def test_head_heeds_the_version_that_the_client_has(world: World) -> None:
    world.queries.keep(an_order())
    head = await world.ask("HEAD", ORDER, headers={"if-none-match": '"1"'})
    assert (head.status, head.headers["etag"]) == (304, '"1"')


@pytest.mark.parametrize(
    ("path", "customer_id"),
    [
        ("/api/customers/c-1/orders", "c-1"),
        # A customer's id may hold any character, written so that no part of the path ends with it.
        ("/api/customers/a%2Fb/orders", "a/b"),
        ("/api/customers/a%2forders%2Fb/orders", "a/orders/b"),
        ("/api/customers/%C3%B1/orders", "ñ"),
        ("/api/customers/100%25%2F/orders", "100%/"),
    ],
)
async def test_a_customer_in_a_path_may_hold_a_slash(world: World, path: str, customer_id: str) -> None:
    assert (await world.ask("GET", path)).status == 200
    assert world.queries.listed[-1][0].customer_id == customer_id


async def test_a_code_in_a_path_may_hold_a_slash(world: World) -> None:
    assert (await world.ask("DELETE", f"{ORDER}/discounts/A%2FB")).status == 200
    assert world.router.message.body == RemoveDiscount("A/B")
    assert (await world.ask("GET", "/api/promotions/A%2FB")).code == "promotion_not_found"


async def test_statistics_are_not_taken_for_an_orders_id(world: World) -> None:
    assert (await world.ask("GET", "/api/orders/statistics")).json == {"orders": 1}


async def test_the_service_describes_itself(world: World) -> None:
    assert (await world.ask("GET", "/openapi.json")).json["openapi"] == "3.1.0"
    assert (await world.ask("GET", "/asyncapi.json")).json["asyncapi"] == "3.0.0"
