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
        ("/orders/ñ\n", "/orders/{order_id}", {"order_id": "ñ\n"}),
        ("/parcels/7", "/{kind}/{number}", {"kind": "parcels", "number": "7"}),
    ],
)
def test_a_path_leads_to_the_first_route_that_fits(path: str, route: str, params: dict[str, str]) -> None:
    found = PATHS.find(path)
    assert found is not None
    assert (found[0].path_format, dict(found[1])) == (route, params)


@pytest.mark.parametrize("path", ["", "/", "orders/7", "/orders", "/orders/", "/orders//items/1", "/orders/7/", "//7"])
def test_a_variable_is_one_whole_part_that_is_not_empty(path: str) -> None:
    assert PATHS.find(path) is None
