"""``latency``: an open model at 25, 50 and 75 % of the best rate; percentiles by operation, from when each should have begun.

The best rate is that of the same mixture in a closed loop, measured just before. The mixture: three creations, one
payment, five reads of an order and one list in ten requests.
"""

from __future__ import annotations

import random

from benchmarks import service
from benchmarks.audience import audience
from benchmarks.client import Client, Response
from benchmarks.load import Job, Outcome, closed_loop_for, open_loop
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.samples import Latency, latency
from benchmarks.settled import until_settled
from benchmarks.shop import Shop, order_id_of
from benchmarks.traffic import CUSTOMERS

SHARES = (25, 50, 75)
CONNECTIONS = 256
IN_FLIGHT = 64
KNOWN_MAX = 20_000
SETTLE_TIMEOUT_S = 120.0
MIXTURE = ("create", "get", "create", "get", "pay", "get", "create", "get", "list", "get")
READS = ("get", "list")
TARGETS = (
    Target("p99_ms_create_50", 50, at_least=False),
    Target("p99_ms_reads_50", 20, at_least=False),
)


class Mixture:
    """The requests of many customers at once; orders that were created are read and paid later."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self._shop = shop
        self._random = random.Random(seed)
        self._orders: list[str] = []
        self._unpaid: list[str] = []

    async def request(self, index: int) -> str:
        """Do the ``index``-th request; give the name of its operation, or nothing when it failed."""
        wanted = MIXTURE[index % len(MIXTURE)]
        if wanted == "create" or not self._orders:
            return await self._create(index)
        if wanted == "pay" and self._unpaid:
            paid = await self._shop.pay(self._unpaid.pop(0), wait_s=0)
            return "pay" if paid.status in {201, 202} else ""
        if wanted == "list":
            customer = self._random.choice(CUSTOMERS)
            return _named("list", await self._shop.get(f"/api/customers/{customer}/orders?limit=20"))
        return _named("get", await self._shop.get(f"/api/orders/{self._random.choice(self._orders)}"))

    async def _create(self, index: int) -> str:
        created = await self._shop.create(index)
        if created.status != 201:
            return ""
        order_id = order_id_of(created)
        if len(self._orders) < KNOWN_MAX:
            self._orders.append(order_id)
            # Paid some hundred requests later, when it has long been validated.
            self._unpaid.append(order_id)
        return "create"


def _named(operation: str, response: Response) -> str:
    return operation if response.status == 200 else ""


async def measure(options: Options) -> Report:
    """Find the best rate, then ask at shares of it."""
    seconds = options.size(30, 4)
    outcomes: dict[int, Outcome] = {}
    with service.use(options.state) as running:
        endpoints = running.endpoints
        async with audience(endpoints.amqp), Client(endpoints.api, CONNECTIONS) as client:
            mixture = Mixture(Shop(client, endpoints.token), seed=1)
            await closed_loop_for(mixture.request, seconds=2, in_flight=IN_FLIGHT)
            best = await closed_loop_for(_from(mixture, 10_000_000), seconds=options.size(10, 3), in_flight=IN_FLIGHT)
            for number_of, share in enumerate(SHARES, 2):
                await until_settled(endpoints.database, SETTLE_TIMEOUT_S)
                job = _from(mixture, number_of * 10_000_000)
                outcomes[share] = await open_loop(job, rate_per_s=best.rate * share / 100, seconds=seconds)
    return report(best, outcomes)


def _from(mixture: Mixture, first: int) -> Job:
    async def request(index: int) -> str:
        return await mixture.request(first + index)

    return request


def report(best: Outcome, outcomes: dict[int, Outcome]) -> Report:
    """Describe each operation at each share of the best rate."""
    figures = {"best_per_s": best.rate}
    rows = []
    described: dict[tuple[str, int], Latency] = {}
    for share, outcome in outcomes.items():
        figures[f"failed_share_{share}"] = outcome.error_share
        reads = [sample for name in READS for sample in outcome.latencies_s.get(name, [])]
        for name, samples in (*outcome.latencies_s.items(), ("reads", reads)):
            if samples:
                spoken = described[(name, share)] = latency(samples)
                figures[f"p50_ms_{name}_{share}"] = spoken.p50_ms
                figures[f"p99_ms_{name}_{share}"] = spoken.p99_ms
                figures[f"p999_ms_{name}_{share}"] = spoken.p999_ms
                cells = (number(spoken.p50_ms), number(spoken.p99_ms), number(spoken.p999_ms))
                rows.append((f"{name} at {share} %", str(spoken.count), *cells))
    names = sorted({name for name, _ in described})
    series = tuple(
        Series(
            name,
            tuple(float(share) for share in outcomes if (name, share) in described),
            tuple(described[(name, share)].p99_ms for share in outcomes if (name, share) in described),
        )
        for name in names
    )
    return Report(
        name="latency",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(Table("from the intended start", ("operation", "n", "p50 ms", "p99 ms", "p99.9 ms"), tuple(rows)),),
        charts=(Chart(title="p99", x_label="% of the best rate", y_label="ms", series=series),),
        notes=(f"best: {best.rate:.0f} requests a second, {best.failed} failed, {IN_FLIGHT} in flight",),
    )
