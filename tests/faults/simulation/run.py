"""One seed: orders live in bad weather, the faults stop, everything comes to rest, and the laws are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from domain.promotions import Promotion, PromotionKind
from tests.faults.simulation.broker import hand_in
from tests.faults.simulation.clients import FOR_STAFF, Clients
from tests.faults.simulation.loop import Standstill
from tests.faults.simulation.storms import Storms
from tests.faults.simulation.world import World

STORM_S = (4.0, 20.0)
ORDERS = (1, 4)
REST_WITHIN_S = 1500.0
LOOK_EVERY_S = 5.0
WELL_AGAIN_S = 40.0
BULKHEADS_BACK_S = 10.0
LATE_S = 6.0  # less than what the supervisor waits for
PROMOTIONS = (
    Promotion(code="TEN", kind=PromotionKind.PERCENTAGE, fraction="0.1000", combinable=True),
    Promotion(code="ONCE", kind=PromotionKind.FIXED_AMOUNT, amount=300, currency="EUR", max_uses=1),
    Promotion(code="NOSHIP", kind=PromotionKind.FREE_SHIPPING, combinable=True, max_uses_per_customer=1),
)
# What only a fault of the service itself can cause, however bad the weather.
ALARMS = frozenset(
    (
        "message_failed",
        "flush_broken",
        "flush_failed",
        "verdict_not_taken",
        "orders_not_loaded",
        "order_not_hosted",
        "order_set_aside",
        "commits_poisoned",
        "shard_failed",
        "call_failed",
        "partner_client_failed",
        "delivery_failed",
        "amqp_link_failed",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a seed. ``broken``: one line a law that was broken, empty when all is well."""

    seed: int
    trace_hash: str
    broken: tuple[str, ...]
    trace: tuple[str, ...]
    handles: int
    virtual_s: float


def simulate(seed: int, *, often: Collection[str] = (), keep_trace: bool = False) -> Report:
    """Live one seed; the same seed gives the same report, to the last step. ``often``: faults to have more of."""
    world = World(seed, often=often, keep_trace=keep_trace)
    broken: list[str] = []
    with hand_in(world), _alarms(world):
        try:
            world.loop.run(_live(world))
        except Standstill as standstill:
            broken.append(f"L5: {standstill}")
        broken += world.laws.broken
        world.loop.close()
    broken += [f"unseen: {fault}" for fault in world.loop.broken]
    return Report(
        seed=seed,
        trace_hash=world.trace_hash,
        broken=tuple(broken),
        trace=tuple(world.trace),
        handles=world.loop.handles,
        virtual_s=world.loop.time(),
    )


async def _live(world: World) -> None:
    random = world.chaos.random
    world.database.tables.promotion.update({promotion.code: promotion for promotion in PROMOTIONS})
    clients = Clients(world)
    await world.start()
    began_s = world.loop.time()
    storm_s = began_s + random.uniform(*STORM_S)
    storms = asyncio.get_running_loop().create_task(Storms(world).rage(storm_s))
    await clients.live(random.randint(*ORDERS), storm_s / 2, storm_s)
    await storms
    world.note("calm")
    world.come_to_an_end()
    await _rest(world, clients)
    await clients.knock()
    await _restart_bulkheads(world)
    world.laws.check_at_rest()
    clients.check_at_rest()


async def _rest(world: World, clients: Clients) -> None:
    """Give everything time until nothing is left to do by itself; staff do what waits for them."""
    calm_s = world.loop.time()
    is_looked_after: set[tuple[str, int]] = set()
    while world.loop.time() < calm_s + REST_WITHIN_S:
        await asyncio.sleep(LOOK_EVERY_S)
        world.partners.settle_all()
        if world.loop.time() > calm_s + WELL_AGAIN_S:
            for order_id, deadline in world.laws.overdue(LATE_S):
                world.laws.breaks("L11", f"{order_id} has waited since {deadline} for its deadline to ring")
        orders = world.laws.orders()
        for order in orders.values():
            if not order.is_closed and not order.steps and (order.id, order.version) not in is_looked_after:
                is_looked_after.add((order.id, order.version))
                await clients.look_after(order)
            elif any(note.reason in FOR_STAFF for note in order.attention):
                await clients.look_after(order)
        if _is_at_rest(world):
            return


async def _restart_bulkheads(world: World) -> None:
    """Where no order has a step, partners are asked for nothing, by new bulkheads neither (L14)."""
    before = world.laws.requests
    for bulkhead in world.living("bulkhead"):
        world.kill(bulkhead)
    await asyncio.sleep(BULKHEADS_BACK_S)
    waiting = any(order.steps for order in world.laws.orders().values())
    if world.laws.requests > before and not waiting:
        world.laws.breaks("L14", "partners were asked for something that no order wants any more")


def _is_at_rest(world: World) -> bool:
    tables = world.database.tables
    if tables.unpublished_since or world.inbox.ready or world.inbox.waiting:
        return False
    return all(row.deadline is None for row in tables.rows.values()) and all(
        not order.attention for order in world.laws.orders().values()
    )


@contextmanager
def _alarms(world: World) -> Iterator[None]:
    """Let what the service says of itself be heard: alarms are against the laws, the rest is dropped."""

    def hear(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if event.get("event") in ALARMS:
            world.laws.breaks("alarm", str({**event, "exc_info": repr(event.get("exc_info"))}))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[hear], wrapper_class=structlog.make_filtering_bound_logger(40), cache_logger_on_first_use=False
    )
    try:
        yield
    finally:
        structlog.configure(**before)
