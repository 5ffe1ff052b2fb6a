"""``life``: whole lives over REST, with RabbitMQ and partners over HTTP: lives a second, and what a life costs by process."""

from __future__ import annotations

import asyncio

from benchmarks import processes, service
from benchmarks.audience import audience
from benchmarks.client import Client
from benchmarks.load import Outcome, closed_loop
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.processes import OURS, Group
from benchmarks.publisher_share import publisher_share
from benchmarks.report import Report, Table, Target, number
from benchmarks.samples import latency, middle
from benchmarks.settled import until_settled
from benchmarks.shop import Shop

IN_FLIGHT = 64
SETTLE_TIMEOUT_S = 120.0
SAMPLED_S = 5
TARGETS = (
    Target("cpu_ms_ours", 4, at_least=False),
    Target("cpu_ms_postgres", 1.5, at_least=False),
)


async def measure(options: Options) -> Report:
    """Run lives in rounds; CPU is counted until everything is settled."""
    lives = options.size(3000, 100)
    outcomes: list[Outcome] = []
    costs: list[dict[Group, float]] = []
    with service.use(options.state) as running:
        endpoints = running.endpoints
        async with audience(endpoints.amqp), Client(endpoints.api, IN_FLIGHT) as client:
            shop = Shop(client, endpoints.token)
            await closed_loop(shop.life, total=50, in_flight=8)
            for turn in range(1, options.rounds + 1):
                await until_settled(endpoints.database, SETTLE_TIMEOUT_S)
                before = processes.usage(running.state)
                outcome = await closed_loop(shop.life_from(turn * 10_000_000), total=lives, in_flight=IN_FLIGHT)
                await until_settled(endpoints.database, SETTLE_TIMEOUT_S)
                spent = processes.usage(running.state).cpu_since(before)
                outcomes.append(outcome)
                costs.append({group: cpu_s * 1000 / max(outcome.done, 1) for group, cpu_s in spent.items()})
            share = await _sampled(shop, running, options)
            if not any(one.done for one in outcomes):
                raise RuntimeError(f"no life got to its end: {shop.refusals.most_common(3)}")
    return report(outcomes, costs, share)


async def _sampled(shop: Shop, running: service.Service, options: Options) -> float | None:
    """Sample a shard under the same load, in a round of its own: looking slows down what it looks at."""
    shards = processes.pids(running.state, Group.SHARDS)
    if not shards:
        return None
    load = asyncio.create_task(
        closed_loop(shop.life_from(900_000_000), total=options.size(1500, 200), in_flight=IN_FLIGHT)
    )
    share = await publisher_share(shards[0], options.size(SAMPLED_S, 2))
    await load
    return share


def report(outcomes: list[Outcome], costs: list[dict[Group, float]], share: float | None) -> Report:
    """Add up what our own processes cost, and show every group."""
    groups = [group for group in Group if any(cost.get(group) for cost in costs)]
    by_group = {group: middle([cost.get(group, 0.0) for cost in costs]) for group in groups}
    figures = {f"cpu_ms_{group}": cost for group, cost in by_group.items()}
    figures["cpu_ms_ours"] = sum(by_group.get(group, 0.0) for group in OURS)
    figures["lives_per_s"] = middle([one.rate for one in outcomes])
    figures["failed"] = float(sum(one.failed for one in outcomes))
    if share is not None:
        figures["cpu_ms_publisher"] = share * by_group.get(Group.SHARDS, 0.0)
    rows = [(str(group), number(cost)) for group, cost in by_group.items()]
    rows.append(("publisher (in shards)", "-" if share is None else number(figures["cpu_ms_publisher"])))
    rows.append(("our own processes", number(figures["cpu_ms_ours"])))
    spoken = latency([sample for one in outcomes for sample in one.samples()])
    note = (
        f"{figures['lives_per_s']:.0f} lives a second, p50 {spoken.p50_ms:.0f} ms, p99 {spoken.p99_ms:.0f} ms, "
        f"{figures['failed']:.0f} failed; {IN_FLIGHT} in flight, 3 lines an order"
    )
    return Report(
        name="life",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(Table("CPU of a whole life", ("process", "ms"), tuple(rows)),),
        notes=(note,),
    )
