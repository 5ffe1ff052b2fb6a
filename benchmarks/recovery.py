"""``recovery``: how long until commands are answered again, after a crash, a hang, a restart of the database, a start with much to do.

Under load: whole lives at a moderate rate go on all the time. Then a shard is killed, one is frozen, or PostgreSQL is restarted,
and from that moment commands to orders of that shard are sent until one is answered 2xx; that its version was committed is
looked up afterwards. What a stock of active orders does to a start and a crash is in ``resuming.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from benchmarks import resuming, service
from benchmarks.audience import audience
from benchmarks.client import request_bytes
from benchmarks.load import Outcome, closed_loop, meanwhile
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.probing import Probe, Probed, not_committed, until_answered
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.resuming import Resumed
from benchmarks.samples import percentile
from benchmarks.settled import lost, until_resting, until_settled
from benchmarks.shop import Shop
from benchmarks.tallied import Tallied
from benchmarks.wounds import Wounds, freeze, go_on, kill, restart
from domain.slices import partition_of

SHARDS = 2
LIVES_PER_S = 20.0
CONNECTIONS = 512
POOL_ORDERS = 80
POOL_WAIT_S = 10
QUANTITIES = 9
ANSWER_LIMIT_S = 30.0
HEAL_LIMIT_S = 20.0
PAUSE_S = 2.0
SETTLE_LIMIT_S = 120.0
# What happens in a round. Whoever keeps PostgreSQL waits longer when it ends twice within half a minute; a round takes longer.
ROUND = ("kill", "kill", "kill", "kill", "kill", "hang", "restart")
QUICK_ROUND = ("kill", "hang", "restart")
TARGETS = (
    Target("kill_p50_s", 0.4, at_least=False),
    Target("kill_max_s", 1, at_least=False),
    Target("hang_max_s", 5, at_least=False),
    Target("restart_max_s", 2, at_least=False),
    Target("not_committed", 0, at_least=False),
    Target("lost", 0, at_least=False),
    *resuming.TARGETS,
)


@dataclass(slots=True)
class Found:
    """What was found, by what was done."""

    probed: dict[str, list[Probed]] = field(default_factory=dict)
    load: Outcome | None = None
    promised: int = 0
    lost: int = 0
    restless: int = 0
    not_committed: int = 0
    not_home: int = 0


class Pool:
    """Validated orders of all partitions, whose lines' quantities are changed by turns."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._orders: list[tuple[str, str]] = []
        self._turns = itertools.count()

    async def fill(self, shop: Shop, orders: int) -> None:
        """Create them, and wait until each is validated."""

        async def create(index: int) -> str:
            created = await shop.create(index, wait_s=POOL_WAIT_S)
            if created.status != 201:
                return ""
            document = msgspec.json.decode(created.body)
            self._orders.append((document["id"], document["items"][0]["id"]))
            return "create"

        await closed_loop(create, total=orders, in_flight=8)

    def probes(self, partitions: Collection[str]) -> Iterator[Probe]:
        """Commands without end, to the orders of these partitions."""
        orders = [order for order in self._orders if partition_of(order[0]) in partitions]
        for order_id, line_id in itertools.cycle(orders):
            body = b'{"quantity":%d}' % (1 + next(self._turns) % QUANTITIES)
            target = f"/api/orders/{order_id}/items/{line_id}/quantity"
            headers = (("idempotency-key", uuid4().hex),)
            yield order_id, request_bytes("PUT", target, token=self._token, body=body, headers=headers)


async def measure(options: Options) -> Report:
    """Hurt a service under load, then have one start with much to do. Each is started for it: ``--state`` is of no use here."""
    found = Found()
    with service.started({"SHARDS": str(SHARDS)}) as running:
        endpoints = running.endpoints
        async with (
            audience(endpoints.amqp),
            Tallied(endpoints.api, CONNECTIONS) as front,
            Tallied(endpoints.api, CONNECTIONS) as prober,
        ):
            pool = Pool(endpoints.token)
            await pool.fill(Shop(prober, endpoints.token), POOL_ORDERS)
            rate = options.size(int(LIVES_PER_S), 5)
            shop = Shop(front, endpoints.token)
            async with meanwhile(shop.life_from(10_000_000), float(rate)) as load:
                rounds = max(1, options.rounds) if options.quick else options.rounds + 1
                await _hurt(Wounds(running), pool, prober, found, QUICK_ROUND if options.quick else ROUND, rounds)
            found.load = load[0]
            await until_settled(endpoints.database, SETTLE_LIMIT_S)
            orders = front.promised | prober.promised
            found.promised = len(orders)
            found.restless = await until_resting(endpoints.database, orders, SETTLE_LIMIT_S)
            found.lost = await lost(endpoints.database, orders)
            shown = [one for every in found.probed.values() for probed in every for one in probed.promised]
            found.not_committed = await not_committed(endpoints.database, shown)
    return report(found, await resuming.measure(options))


async def _hurt(wounds: Wounds, pool: Pool, prober: Tallied, found: Found, order: tuple[str, ...], rounds: int) -> None:
    for turn, what in enumerate(order * rounds):
        await asyncio.sleep(PAUSE_S)
        before = await wounds.owners()
        # The shards that own something now, in turns.
        owners = {owner.shard: owner for owner in before.values()}
        victim = None if what == "restart" else owners[sorted(owners)[turn % len(owners)]]
        name = victim.shard if victim is not None else None
        pid = wounds.shard(victim) if victim else await wounds.database()
        partitions = [partition for partition, owner in before.items() if victim is None or owner.shard == name]
        began_s = time.monotonic()
        {"kill": kill, "hang": freeze, "restart": restart}[what](pid)
        try:
            probed = await until_answered(prober, pool.probes(partitions), began_s, ANSWER_LIMIT_S)
        finally:
            if what == "hang":
                go_on(pid)
        found.probed.setdefault(what, []).append(probed)
        found.not_home += not await wounds.until_home(before, name, HEAL_LIMIT_S)


def report(found: Found, resumed: Resumed) -> Report:
    """Say how long nothing was answered, by what was done."""
    figures: dict[str, float] = {}
    rows = []
    for what, probed in found.probed.items():
        seconds = sorted(one.seconds for one in probed)
        figures[f"{what}_p50_s"] = percentile(seconds, 50)
        figures[f"{what}_max_s"] = seconds[-1]
        statuses: Counter[int] = sum((one.statuses for one in probed), Counter())
        slowest_s = max(one.slowest_s for one in probed)
        cells = (number(figures[f"{what}_p50_s"]), number(seconds[-1]), number(slowest_s))
        rows.append((what, str(len(probed)), *cells, " ".join(f"{one}:{n}" for one, n in sorted(statuses.items()))))
    figures |= {
        "not_committed": float(found.not_committed),
        "lost": float(found.lost + resumed.lost),
        "restless": float(found.restless),
        "not_home": float(found.not_home),
        "lives_done": float(found.load.done if found.load else 0),
        "lives_failed": float(found.load.failed if found.load else 0),
    }
    figures |= resumed.figures()
    series = tuple(
        Series(what, tuple(float(n) for n in range(1, len(probed) + 1)), tuple(one.seconds for one in probed))
        for what, probed in found.probed.items()
    )
    columns = ("what", "times", "p50 s", "max s", "slowest answer s", "answers by status")
    note = (
        f"{figures['lives_done']:.0f} lives meanwhile, {figures['lives_failed']:.0f} broke off; "
        f"of {found.promised} orders promised {found.lost} are lost, {found.restless} do not rest; "
        f"{found.not_home} times a partition was not at home again within {HEAL_LIMIT_S:g} s"
    )
    return Report(
        name="recovery",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(Table("until the next 2xx, asked for afterwards", columns, tuple(rows)), resumed.table()),
        charts=(
            Chart(title="until the next 2xx", x_label="time after time", y_label="seconds", series=series),
            resumed.chart(),
        ),
        notes=(note, resumed.note()),
    )
