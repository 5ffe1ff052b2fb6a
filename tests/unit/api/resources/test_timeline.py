from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from domain.order import Status
from storage.writes.commits import StoredEvent
from tests.unit.api.harness import NOW, ORDER_ID, World, an_order, token

TIMELINE = f"/api/orders/{ORDER_ID}/timeline"


def event(sequence: int, after_s: float, **data: Any) -> StoredEvent:
    return StoredEvent(
        sequence=sequence,
        type="PedidoActualizado",
        version=sequence,
        at=NOW + timedelta(seconds=after_s),
        actor_type="saga",
        actor_id="ordersvc",
        body=msgspec.json.encode({"specversion": "1.0", "data": data}),
        notice=None,
    )


async def test_events_are_shown_with_what_they_changed(world: World) -> None:
    world.queries.keep(an_order())
    world.queries.events = (event(1, 0, status="created"), event(2, 1, status="validated", changed=["status"]))
    document = (await world.ask("GET", TIMELINE)).json
    assert document["data"][1] == {
        "sequence": 2,
        "type": "PedidoActualizado",
        "at": "2026-11-24T10:15:31.123Z",
        "version": 2,
        "actor": {"type": "saga", "id": "ordersvc"},
        "changed": ["status"],
    }
    assert document["data"][0]["changed"] == []


async def test_stages_tell_how_long_they_took_and_which_is_under_way(world: World) -> None:
    world.queries.keep(an_order(status=Status.VALIDATED, validated_at=NOW + timedelta(seconds=1.5)))
    stages = (await world.ask("GET", TIMELINE)).json["stages"]
    assert [(each["stage"], each["duration_ms"]) for each in stages] == [
        ("create", 0),
        ("validate", 1500),
        ("pay", None),
    ]
    assert stages[2]["finished_at"] is None


async def test_a_cancelled_order_ends_its_stage_when_compensation_begins(world: World) -> None:
    world.queries.keep(
        an_order(
            status=Status.CANCELLED,
            validated_at=NOW + timedelta(seconds=1),
            cancelled_at=NOW + timedelta(seconds=6),
        )
    )
    world.queries.events = (event(1, 0, status="created"), event(2, 4, status="cancelling"))
    stages = (await world.ask("GET", TIMELINE)).json["stages"]
    assert [(each["stage"], each["duration_ms"]) for each in stages] == [
        ("create", 0),
        ("validate", 1000),
        ("pay", 3000),
        ("compensate", 2000),
    ]


async def test_the_timeline_of_another_customers_order_is_not_found(world: World) -> None:
    world.queries.keep(an_order())
    assert (await world.ask("GET", TIMELINE, token=token(customer_id="c-2"))).code == "order_not_found"
