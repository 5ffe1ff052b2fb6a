"""The same lives with every order in a Ray actor, and so in a process, of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.acceptance.broker import Broker
from tests.acceptance.listening import listening
from tests.acceptance.shop import Shop
from tests.acceptance.started import Started, until
from tests.acceptance.test_life import (
    test_a_cancelled_order_says_so_only_after_its_refund,
    test_an_order_goes_through_its_seven_stages_and_says_so_in_sequence,
    test_fifty_creations_with_one_key_make_one_order_and_get_equal_answers,
    test_of_two_edits_with_one_version_one_wins,
)

__all__ = [
    "test_a_cancelled_order_says_so_only_after_its_refund",
    "test_an_order_goes_through_its_seven_stages_and_says_so_in_sequence",
    "test_fifty_creations_with_one_key_make_one_order_and_get_equal_answers",
    "test_of_two_edits_with_one_version_one_wins",
]

DEDICATED_MAX = 8


def owned_alone(database: str) -> dict[str, str]:
    """Order id -> name of the process that owns it, for the orders that are a partition of their own."""

    async def read() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(database)
        try:
            found: list[asyncpg.Record] = await connection.fetch(
                "select o.id::text as id, r.name from orders o"
                " join partitions p on p.partition = o.dedicated_group join processes r using (process)"
            )
            return found
        finally:
            await connection.close()

    return {row["id"]: row["name"] for row in asyncio.run(read())}


class PatientShop(Shop):
    """A shop whose orders have moved into their own process before anything is done with them."""

    def create(self, **wanted: Any) -> Any:
        order = super().create(**wanted)
        order_id = order["id"]
        until(
            lambda: owned_alone(self.endpoints["database"]).get(order_id) == f"order-{order_id}",
            f"{order_id} in a process of its own",
        )
        return self.order(order_id)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A service that gives a process to every order."""
    settings = {"DEDICATED_POLICY": "all", "DEDICATED_MAX": str(DEDICATED_MAX)}
    with Started(tmp_path_factory.mktemp("dedicated") / "state", settings) as started:
        yield started


@pytest.fixture(scope="module")
def broker(service: Started) -> Iterator[Broker]:
    with listening(service) as broker:
        yield broker


@pytest.fixture(scope="module")
def shop(service: Started, broker: Broker) -> Shop:
    return PatientShop(service.endpoints(), service.folder)


def test_an_order_outlives_its_process_and_gives_it_back_when_it_is_closed(shop: Shop, service: Started) -> None:
    before = set(service.find_all("ray::OrderShard"))
    order_id = shop.create()["id"]
    knobs = {"knobs": [{"effect": "delay", "operation": "charge", "delay_ms": 1500}]}
    shop.partner("sandbox", "PUT", "/knobs", knobs)
    status, payment, _ = shop.ask("POST", f"/api/orders/{order_id}/payments", {"method": "card"}, key=str(uuid4()))
    assert (status, payment["status"]) == (202, "processing")
    own = set(service.find_all("ray::OrderShard")) - before
    assert own, "no process was made for the order"
    for pid in own:
        os.kill(pid, signal.SIGKILL)
    shop.partner("sandbox", "DELETE", "/knobs")
    shop.reached(order_id, "prepared")
    shipped = {"status": "shipped", "carrier": "SEUR", "tracking_number": "T-1"}
    assert shop.ask("PUT", f"/api/orders/{order_id}/status", shipped)[0] == 200
    assert shop.ask("PUT", f"/api/orders/{order_id}/status", {"status": "delivered"})[0] == 200
    _, payments, _ = shop.ask("GET", f"/api/orders/{order_id}/payments")
    assert [entry["type"] for entry in payments["ledger"]] == ["charge"]
    until(lambda: order_id not in owned_alone(shop.endpoints["database"]), f"{order_id} given back")
    # A closed order is answered for by the shard that owns its slice's partition.
    assert shop.ask("PUT", f"/api/orders/{order_id}/status", {"status": "delivered"})[0] == 200
