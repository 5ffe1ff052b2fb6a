from __future__ import annotations

import pytest

from api.exchange import Answer, Incoming
from api.operations import Route
from api.paths import Paths


async def handler(asked: Incoming) -> Answer:
    raise NotImplementedError


PATHS = Paths(
    Route(path, {"GET": handler})
    for path in ("/orders/{order_id}", "/orders/statistics", "/orders/{order_id}/items/{item_id}", "/{kind}/{number}")
)


@pytest.mark.parametrize(
    ("path", "route", "params"),
    [
        ("/orders/7", "/orders/{order_id}", {"order_id": "7"}),
        ("/orders/statistics", "/orders/statistics", {}),
        (
            "/orders/statistics/items/1",
            "/orders/{order_id}/items/{item_id}",
            {"order_id": "statistics", "item_id": "1"},
        ),
        ("/parcels/7", "/{kind}/{number}", {"kind": "parcels", "number": "7"}),
        # What a variable stands for may hold any character, once it is written so that no part ends with it.
        ("/orders/a%2Fb", "/orders/{order_id}", {"order_id": "a/b"}),
        ("/orders/a%2fitems%2Fb", "/orders/{order_id}", {"order_id": "a/items/b"}),
        ("/orders/%C3%B1%0A", "/orders/{order_id}", {"order_id": "ñ\n"}),
        ("/orders/100%25%2F", "/orders/{order_id}", {"order_id": "100%/"}),
        ("/%6Frders/statistics", "/orders/statistics", {}),
    ],
)
def test_a_path_leads_to_the_first_route_that_fits(path: str, route: str, params: dict[str, str]) -> None:
    found = PATHS.find(path)
    assert found is not None
    assert (found[0].path_format, dict(found[1])) == (route, params)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "orders/7",
        "/orders",
        "/orders/",
        "/orders//items/1",
        "/orders/7/",
        "//7",
        "/orders%2F7",
        "/orders%2Fstatistics",
    ],
)
def test_a_variable_is_one_whole_part_that_is_not_empty(path: str) -> None:
    assert PATHS.find(path) is None
