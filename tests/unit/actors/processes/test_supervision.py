"""The supervisor: hung processes are replaced, storms are damped, and dedicated processes don't outlive their order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import structlog

from actors.processes.supervision import Supervision, SupervisionPolicy
from actors.rpc.clients import SILENT, ProcessClients

SHARD = "order-shard-0"


class World:
    """Processes, other processes and a store, as the supervisor sees them."""

    def __init__(self) -> None:
        self.running: set[str] = {SHARD}
        self.replaced: list[str] = []
        self.ended: list[str] = []
        self.owners: dict[str, str | None] = {}
        self.roles: dict[str, str] = {}
        self.now_s = 0.0
        self.figures = {"resident_orders": 1.0}
        self.silent: set[str] = set()
        self.cannot_start: set[str] = set()
        self.started = 0
        self.is_broken = False
        self.on_lost: Callable[[str, str], None] | None = None

    # Processes.

    def names(self) -> Sequence[str]:
        return []

    def alive(self) -> Sequence[str]:
        return sorted(self.running)

    def start(self, name: str) -> None:
        if name in self.cannot_start:
            raise OSError("Ray is away")
        self.started += 1
        self.running.add(name)

    def replace(self, name: str) -> None:
        self.replaced.append(name)

    def end(self, name: str) -> None:
        self.ended.append(name)
        self.running.discard(name)

    # Peers: each is its own peer, found as soon as it runs.

    def get(self, name: str) -> World:
        return self

    @property
    def found(self) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    def is_up(self, name: str) -> bool:
        return name in self.running and name not in self.silent

    def up(self) -> list[str]:
        return [name for name in sorted(self.running) if self.is_up(name)]

    def forget(self, name: str) -> None: ...

    async def call(self, method: str) -> dict[str, float]:
        return dict(self.figures)

    # The store.

    async def owner_names(self) -> dict[str, str | None]:
        return dict(self.owners)

    async def shard_roles(self, cell: str) -> dict[str, str]:
        if self.is_broken:
            raise ZeroDivisionError
        return dict(self.roles)


def a_supervisor(world: World, **policy: float) -> Supervision:
    return Supervision(
        processes=world,
        clients=cast("ProcessClients", world),
        store=world,
        policy=SupervisionPolicy(**{"round_every_s": 0, "tidy_every_rounds": 1, **policy}),  # type: ignore[arg-type]
        cell="main",
        roles={SHARD: "serving"},
        dedicated_max=2,
        monotonic=lambda: world.now_s,
    )


async def until(ask: Callable[[], Any | Awaitable[Any]]) -> None:
    async with asyncio.timeout(5):
        while not ask():
            await asyncio.sleep(0)


async def test_a_process_that_falls_silent_is_replaced_and_that_is_told() -> None:
    world = World()
    supervisor = a_supervisor(world)
    world.silent.add(SHARD)
    assert world.on_lost is not None
    world.on_lost(SHARD, SILENT)
    await until(lambda: world.replaced)
    assert world.replaced == [SHARD]
    assert supervisor.report()["alerts"]["hung_process"] == 1


async def test_a_process_that_died_is_left_to_ray() -> None:
    world = World()
    supervisor = a_supervisor(world)
    assert world.on_lost is not None
    world.on_lost(SHARD, "ended")
    await asyncio.sleep(0)
    assert world.replaced == []
    assert supervisor.report()["supervisor"]["lost_total"] == 1


async def test_what_is_lost_again_and_again_raises_an_alert() -> None:
    world = World()
    supervisor = a_supervisor(world, storm_losses_max=3)
    assert world.on_lost is not None
    for _ in range(4):
        world.on_lost(SHARD, "ended")
    assert supervisor.report()["alerts"]["restart_storm"] == 1
    world.now_s = 1000.0
    world.on_lost(SHARD, "ended")
    assert supervisor.report()["supervisor"]["storms_total"] == 1


async def test_the_more_often_it_is_lost_the_longer_it_waits_for_its_next_start() -> None:
    supervisor = a_supervisor(World(), storm_losses_max=2, storm_wait_first_s=1.0, storm_wait_max_s=6.0)
    assert [supervisor.storm_wait_s(recent) for recent in range(1, 7)] == [0.0, 0.0, 2.0, 4.0, 6.0, 6.0]


async def test_one_that_hangs_again_and_again_is_replaced_once_the_wait_is_over() -> None:
    world = World()
    a_supervisor(world, storm_losses_max=0, storm_wait_first_s=1000.0, storm_wait_max_s=2000.0)
    world.silent.add(SHARD)
    world.on_lost(SHARD, SILENT)  # type: ignore[misc]
    for _ in range(100):
        await asyncio.sleep(0)
    assert world.replaced == []


async def test_what_keeps_dying_is_ended_for_good_and_started_again_after_the_wait() -> None:
    """Ray starts it at once, for ever."""
    world = World()
    supervisor = a_supervisor(world, storm_losses_max=2, storm_wait_first_s=0.001)
    for times in range(1, 5):
        world.on_lost(SHARD, "ended")  # type: ignore[misc]
        await until(lambda: not supervisor._tasks)
        assert world.ended == [SHARD] * max(0, times - 2)
        assert world.running == {SHARD}


async def test_what_is_held_back_stays_away_for_the_wait_and_is_held_back_once() -> None:
    world = World()
    supervisor = a_supervisor(world, storm_losses_max=0, storm_wait_first_s=1000.0, storm_wait_max_s=2000.0)
    for _ in range(3):
        world.on_lost(SHARD, "ended")  # type: ignore[misc]
    await until(lambda: world.ended)
    for _ in range(100):
        await asyncio.sleep(0)
    assert world.ended == [SHARD]
    assert world.running == set()
    assert len(supervisor._tasks) == 1


async def test_the_process_of_an_order_that_is_closed_meanwhile_is_not_started_again() -> None:
    world = World()
    supervisor = a_supervisor(world, storm_losses_max=0, storm_wait_first_s=0.001)
    await supervisor.dedicate("o")
    world.on_lost("order-o", "ended")  # type: ignore[misc]
    await supervisor.dismiss("o")
    await until(lambda: not supervisor._tasks)
    assert world.running == {SHARD}


async def test_a_shard_that_is_asked_for_is_started_and_a_drained_one_ended_once_it_owns_nothing() -> None:
    world = World()
    world.owners = {"0": SHARD}
    supervisor = a_supervisor(world)
    supervisor.start()
    world.roles = {SHARD: "draining", "order-shard-1": "serving"}
    await until(lambda: "order-shard-1" in world.running)
    assert supervisor.report()["expected"] == ["order-shard-1"]
    assert world.ended == []
    world.owners = {"0": "order-shard-1"}
    await until(lambda: world.ended == [SHARD])
    world.roles = {}
    await until(lambda: SHARD in world.running)
    assert world.running == {SHARD, "order-shard-1"}  # it is not asked for any more, and owns something


async def test_there_are_no_more_dedicated_processes_than_may_be() -> None:
    world = World()
    supervisor = a_supervisor(world)
    assert [await supervisor.dedicate(order_id) for order_id in ("a", "b", "c")] == [True, True, False]
    await supervisor.dismiss("a")
    assert await supervisor.dedicate("c")
    assert world.running == {SHARD, "order-b", "order-c"}


async def test_a_new_supervisor_ends_dedicated_processes_that_no_open_order_has() -> None:
    world = World()
    world.running |= {"order-open", "order-closed", "order-stray"}
    world.owners = {"order-open": SHARD, "0": SHARD}
    supervisor = a_supervisor(world)
    await supervisor.adopt_dedicated()
    supervisor.start()
    await until(lambda: len(world.ended) == 2)
    assert sorted(world.ended) == ["order-closed", "order-stray"]
    assert world.running == {SHARD, "order-open"}


async def test_refused_credentials_raise_one_alert_at_once() -> None:
    """401 and 403 are never a partner's word, and nothing mends them but people: they have to hear of it."""
    world = World()
    world.figures = {"credentials_refused_total": 3.0}
    supervisor = a_supervisor(world, round_every_s=0.0)
    with structlog.testing.capture_logs() as logs:
        supervisor.start()
        await until(lambda: supervisor.report()["alerts"]["credentials_refused"])
        await rounds()
    (alert,) = [entry for entry in logs if entry["event"] == "alert"]
    assert alert["alert"] == "credentials_refused"
    assert "3 calls" in alert["detail"]
    assert supervisor.report()["alerts"]["credentials_refused"] == 1


async def test_a_process_that_does_not_come_up_holds_up_nothing_and_is_an_alert_and_tried_again() -> None:
    """The supervisor waited at its start for all processes: while one could not start, nothing else was done or told."""
    world = World()
    world.silent.add(SHARD)
    world.roles = {"order-shard-1": "serving"}
    supervisor = a_supervisor(world, start_within_s=20.0, start_wait_max_s=100.0)
    supervisor.start()
    await until(lambda: supervisor.report()["up"] == ["order-shard-1"])

    def alerts() -> int:
        count: int = supervisor.report()["alerts"]["process_not_up"]
        return count

    assert alerts() == 0
    started = world.started
    # It was first looked for at 0 s: alerts are due after 20, then after another 40, 80, 100 and 100 s.
    for number, at_s in enumerate((20.0, 60.0, 140.0, 240.0, 340.0), start=1):
        world.now_s = at_s - 1.0
        await rounds()
        assert alerts() == number - 1
        world.now_s = at_s
        await until(lambda number=number: alerts() == number and world.started == started + number)  # type: ignore[misc]
    await until(lambda: len(world.replaced) == 4)
    world.silent.clear()
    world.now_s = 1000.0
    await rounds()
    assert (alerts(), supervisor.report()["up"]) == (5, [SHARD, "order-shard-1"])


async def test_a_process_whose_start_raises_keeps_none_of_the_others_from_starting() -> None:
    world = World()
    world.running.clear()
    world.cannot_start.add(SHARD)
    world.owners = {"order-open": None}
    supervisor = a_supervisor(world)
    await supervisor.adopt_dedicated()
    supervisor.start()
    await until(lambda: world.running == {"order-open"})
    world.cannot_start.clear()
    world.now_s = 1000.0
    await rounds()
    world.now_s = 2000.0
    await until(lambda: SHARD in world.running)


async def test_a_start_that_hangs_keeps_nothing_else_from_being_done() -> None:
    """Each process was started after the one before it, and the rounds began after all of them: with one start that hung there was no
    metric and no chore.
    """
    world = World()
    world.running = set()
    hanging = threading.Event()

    def start(name: str) -> None:
        if name == SHARD:
            hanging.wait(10)
        world.running.add(name)

    world.start = start  # type: ignore[method-assign]
    world.roles = {"order-shard-1": "serving"}
    supervisor = a_supervisor(world, start_within_s=0.02)
    try:
        supervisor.start()
        await until(lambda: world.running == {"order-shard-1"})
        await until(lambda: supervisor.report()["processes"].keys() == {"order-shard-1"})
        world.now_s = 1.0  # it is missing, and tried again, without a second thread that hangs
        await until(lambda: supervisor.report()["alerts"]["process_not_up"])
        assert threading.active_count() < 10
    finally:
        hanging.set()
    await until(lambda: SHARD in world.running)


async def test_a_round_that_fails_is_an_alert_and_keeps_no_other_from_being_made() -> None:
    world = World()
    world.is_broken = True
    supervisor = a_supervisor(world)
    supervisor.start()
    await until(lambda: supervisor.report()["processes"])
    await until(lambda: supervisor.report()["alerts"]["supervisor_round_failed"])
    world.is_broken = False
    world.roles = {"order-shard-1": "serving"}
    await until(lambda: "order-shard-1" in world.running)
    assert supervisor.report()["alerts"]["supervisor_round_failed"] >= 1


async def test_alerts_are_counted_for_ever_and_nothing_is_kept_of_processes_that_were_dismissed() -> None:
    """Alerts were the length of a list that held 200 at most: it stopped growing when it mattered most."""
    world = World()
    supervisor = a_supervisor(world, storm_losses_max=0, storm_wait_first_s=1000.0, storm_wait_max_s=2000.0)
    for number in range(300):
        await supervisor.dedicate(f"o-{number}")
        world.on_lost(f"order-o-{number}", "ended")  # type: ignore[misc]
        await supervisor.dismiss(f"o-{number}")
    assert supervisor.report()["alerts"]["restart_storm"] == 300
    assert supervisor._losses == {}


async def rounds() -> None:
    """Long enough for each round to have been made since."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_ray_is_asked_for_nothing_once_a_shard_was_drained_and_is_gone() -> None:
    """The table of roles keeps the drained name: Ray was asked every two seconds, by the loop that everything else waits for."""
    world = World()
    asked: list[str] = []

    def alive() -> Sequence[str]:
        asked.append(threading.current_thread().name)
        return sorted(world.running)

    world.alive = alive  # type: ignore[method-assign]
    world.roles = {SHARD: "draining", "order-shard-1": "serving"}
    world.owners = {"0": "order-shard-1"}
    supervisor = a_supervisor(world)
    supervisor.start()
    await until(lambda: world.ended == [SHARD])
    assert threading.main_thread().name not in asked
    asked.clear()
    for _ in range(200):
        await asyncio.sleep(0)
    assert asked == []
    assert world.ended == [SHARD]
