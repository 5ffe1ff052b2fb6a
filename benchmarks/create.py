"""``create``: ``POST /api/orders`` with everything real beside a bare FastAPI route, same client, same bodies.

The burst counts answers. The sustained rate stops the clock only when every order that was created is validated and its
events are published, so what was put off is paid for.
"""

from __future__ import annotations

import time

from benchmarks import bare, service
from benchmarks.audience import audience
from benchmarks.client import Client
from benchmarks.load import Job, Outcome, closed_loop, closed_loop_for
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.samples import latency, middle
from benchmarks.settled import until_settled
from benchmarks.shop import Shop

IN_FLIGHT = 64
SETTLE_TIMEOUT_S = 120.0
TARGETS = (
    Target("burst_of_bare", 0.35, at_least=True),
    Target("sustained_of_bare", 0.12, at_least=True),
)


async def measure(options: Options) -> Report:
    """Run bursts of both sides in turns, then the sustained load of ours."""
    burst = options.size(2000, 300)
    seconds = options.size(60, 5)
    rounds: dict[str, list[Outcome]] = {"ours": [], "bare": []}
    with service.use(options.state) as running, bare.started() as bare_url:
        endpoints = running.endpoints
        async with (
            audience(endpoints.amqp),
            Client(endpoints.api, IN_FLIGHT) as front,
            Client(bare_url, IN_FLIGHT) as plain,
        ):
            sides = {"ours": Shop(front, endpoints.token), "bare": Shop(plain, "")}
            for shop in sides.values():
                await closed_loop(_job(shop, 0), total=100, in_flight=8)
            for turn in range(1, options.rounds + 1):
                for name, shop in sides.items():
                    rounds[name].append(await closed_loop(_job(shop, turn), total=burst, in_flight=IN_FLIGHT))
                await until_settled(endpoints.database, SETTLE_TIMEOUT_S)
            began_at = time.perf_counter()
            job = _job(sides["ours"], options.rounds + 1)
            sustained = await closed_loop_for(job, seconds=seconds, in_flight=IN_FLIGHT)
            await until_settled(endpoints.database, SETTLE_TIMEOUT_S)
            settled_s = time.perf_counter() - began_at
    return report(rounds, sustained, settled_s)


def _job(shop: Shop, turn: int) -> Job:
    async def create(index: int) -> str:
        response = await shop.create(turn * 10_000_000 + index)
        return "create" if response.status == 201 else ""

    return create


def report(rounds: dict[str, list[Outcome]], sustained: Outcome, settled_s: float) -> Report:
    """Hold both to the bare route's rate."""
    bare_rate = middle([one.rate for one in rounds["bare"]])
    burst_rate = middle([one.rate for one in rounds["ours"]])
    sustained_rate = sustained.done / settled_s
    figures = {
        "bare": bare_rate,
        "burst": burst_rate,
        "sustained": sustained_rate,
        "burst_of_bare": burst_rate / bare_rate,
        "sustained_of_bare": sustained_rate / bare_rate,
        "failed": float(sustained.failed + sum(one.failed for one in rounds["ours"])),
        "settling_s": settled_s - sustained.seconds,
    }
    rows = []
    for name, outcomes in (*rounds.items(), ("sustained", [sustained])):
        spoken = latency([sample for one in outcomes for sample in one.samples()])
        rate = middle([one.rate for one in outcomes])
        rows.append(
            (name, number(rate), number(spoken.p50_ms), number(spoken.p99_ms), str(sum(o.failed for o in outcomes)))
        )
    table = Table("POST /api/orders, 64 in flight", ("side", "answers/s", "p50 ms", "p99 ms", "failed"), tuple(rows))
    note = f"sustained: {sustained.done} orders in {settled_s:.1f} s until validated and published"
    return Report(
        name="create",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(table,),
        charts=(_chart(rounds),),
        notes=(note,),
    )


def _chart(rounds: dict[str, list[Outcome]]) -> Chart:
    series = tuple(
        Series(name, tuple(float(turn) for turn in range(1, len(outcomes) + 1)), tuple(one.rate for one in outcomes))
        for name, outcomes in rounds.items()
    )
    return Chart(title="creations answered in a burst", x_label="round", y_label="answers a second", series=series)
