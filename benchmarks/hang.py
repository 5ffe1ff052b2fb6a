"""``hang``: one partner takes every request and never answers, for a minute at full load. Who notices?

Each partner has its turn: ProductSvc, PaymentSvc, UserSvc. All the time whole lives go on at the rate that a plan would count on,
and beside them reads and one command that does without that partner, timed before and while it hangs. Afterwards every order
that waited has to get on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks import service
from benchmarks.audience import audience
from benchmarks.client import Client, Response, request_bytes
from benchmarks.load import Job, Outcome, closed_loop, closed_loop_for, meanwhile, open_loop
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.plan import USE_MAX
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.samples import Latency, latency
from benchmarks.settled import lost, until_resting, until_settled, waiting
from benchmarks.shop import Shop, order_id_of
from benchmarks.tallied import Tallied
from benchmarks.traffic import create_body

PARTNERS = ("product", "payment", "user")
CONNECTIONS = 4096
IN_FLIGHT = 64
PROBES_PER_S = 20.0
# One probe in four is a command, so that reads are three quarters.
COMMAND_EVERY = 4
KNOWN_ORDERS = 100
REST_LIMIT_S = 300.0
WAIT_S = 10
# The sandbox knows numbers of up to seven digits; each turn's lives have a million to themselves.
CUSTOMERS_FROM = 1_000_000
CUSTOMERS = 8_000_000
CUSTOMERS_A_TURN = 1_000_000
OPERATIONS = ("get", "list", "command")
# A read or a command may not get slower by more than this; a tenth of it is noise.
SLOWER_P50_MAX = 1.2
SLOWER_P99_MAX = 1.5
TARGETS = (
    *(
        Target(f"{partner}_{what}_p50_ratio", SLOWER_P50_MAX, at_least=False)
        for partner in PARTNERS
        for what in OPERATIONS
    ),
    *(
        Target(f"{partner}_{what}_p99_ratio", SLOWER_P99_MAX, at_least=False)
        for partner in PARTNERS
        for what in OPERATIONS
    ),
    Target("probes_failed", 0, at_least=False),
    Target("lost", 0, at_least=False),
    Target("restless", 0, at_least=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """What came of one partner's turn. ``rest_s``: from the partner's return until every order rests."""

    before: Outcome
    during: Outcome
    lives: Outcome
    promised: int
    waited: int
    rest_s: float
    lost: int
    restless: int
    failures: Counter[str]


class Probes:
    """Reads, and a command that does without the partner that hangs: a payment, or where that hangs a creation."""

    def __init__(self, shop: Shop, partner: str) -> None:
        self._shop = shop
        self._partner = partner
        self._known: list[str] = []
        self._unpaid: list[str] = []
        self._numbers = 500_000_000
        self.failures: Counter[str] = Counter()

    async def fill(self, payments: int) -> None:
        """Have orders to read, and orders to pay."""

        async def create(index: int) -> str:
            created = await self._shop.create(index, wait_s=WAIT_S)
            if created.status != 201:
                return ""
            self._unpaid.append(order_id_of(created))
            return "create"

        await closed_loop(create, total=KNOWN_ORDERS + payments, in_flight=16)
        self._known = [self._unpaid.pop() for _ in range(min(KNOWN_ORDERS, len(self._unpaid)))]

    async def probe(self, index: int) -> str:
        """Do the ``index``-th of them; give its name, or nothing when it failed."""
        if index % COMMAND_EVERY == 0:
            return self._named("command", await self._command(index), 201)
        if index % COMMAND_EVERY == 1:
            return self._named("list", await self._shop.get("/api/orders?limit=20"), 200)
        return self._named("get", await self._shop.get(f"/api/orders/{self._known[index % len(self._known)]}"), 200)

    async def _command(self, index: int) -> Response:
        if self._partner == "payment":
            self._numbers += 1
            return await self._shop.create(self._numbers + index, wait_s=WAIT_S)
        return await self._shop.pay(self._unpaid.pop())

    def _named(self, operation: str, response: Response, wanted: int) -> str:
        if response.status == wanted:
            return operation
        self.failures[f"{operation} {response.status or 'unanswered'}"] += 1
        return ""


def _fresh_customer(index: int) -> bytes:
    """A creation by a customer of whom nothing is known yet, so that UserSvc has to be asked."""
    return create_body(index, customers=(f"load-customer-{CUSTOMERS_FROM + index % CUSTOMERS}",))


async def measure(options: Options) -> Report:
    """Find the rate, then let each partner hang."""
    found: dict[str, Hung] = {}
    with service.use(options.state) as running:
        endpoints = running.endpoints
        async with audience(endpoints.amqp), Client(endpoints.api, IN_FLIGHT) as client:
            shop = Shop(client, endpoints.token, body_of=_fresh_customer)
            await closed_loop(shop.life, total=50, in_flight=8)
            job = shop.life_from(CUSTOMERS_A_TURN)
            best = await closed_loop_for(job, seconds=options.size(15, 4), in_flight=IN_FLIGHT)
            if not best.done:
                raise RuntimeError(f"no life got to its end: {shop.refusals.most_common(3)}")
            await until_settled(endpoints.database, REST_LIMIT_S)
            rate = USE_MAX * best.rate
            for partner in PARTNERS:
                found[partner] = await _hang(running, partner, rate, options)
    return report(found, best.rate, rate)


async def _hang(running: service.Service, partner: str, rate: float, options: Options) -> Hung:
    endpoints = running.endpoints
    before_s, during_s = float(options.size(20, 5)), float(options.size(60, 10))
    async with Tallied(endpoints.api, CONNECTIONS) as load, Tallied(endpoints.api, CONNECTIONS) as side:
        probes = Probes(Shop(side, endpoints.token), partner)
        await probes.fill(int((before_s + during_s) * PROBES_PER_S / COMMAND_EVERY) + COMMAND_EVERY)
        shop = Shop(load, endpoints.token, body_of=_fresh_customer)
        async with meanwhile(shop.life_from((2 + PARTNERS.index(partner)) * CUSTOMERS_A_TURN), rate) as lives:
            await asyncio.sleep(before_s / 4)
            before = await open_loop(probes.probe, rate_per_s=PROBES_PER_S, seconds=before_s)
            async with hanging(endpoints.payment, partner):
                during = await open_loop(_later(probes.probe), rate_per_s=PROBES_PER_S, seconds=during_s)
                waited = await waiting(endpoints.database)
            back_s = time.monotonic()
        promised = load.promised | side.promised
        restless = await until_resting(endpoints.database, promised, REST_LIMIT_S)
        return Hung(
            before=before,
            during=during,
            lives=lives[0],
            promised=len(promised),
            waited=waited,
            rest_s=time.monotonic() - back_s,
            lost=await lost(endpoints.database, promised),
            restless=restless,
            failures=probes.failures,
        )


def _later(job: Job) -> Job:
    async def later(index: int) -> str:
        return await job(100_000 + index)

    return later


@contextlib.asynccontextmanager
async def hanging(partner_url: str, partner: str) -> AsyncIterator[None]:
    """Meanwhile this partner takes requests and never answers."""
    parts = urlsplit(partner_url)
    async with Client(f"{parts.scheme}://{parts.netloc}", 1) as sandbox:
        await _turn(sandbox, [{"effect": "hang", "partner": partner}])
        try:
            yield
        finally:
            await _turn(sandbox, [])


async def _turn(sandbox: Client, knobs: list[dict[str, Any]]) -> None:
    answer = await sandbox.send(request_bytes("PUT", "/sandbox/knobs", body=msgspec.json.encode({"knobs": knobs})))
    if answer.status != 200:
        raise RuntimeError(f"the sandbox does not take its knobs: {answer.status}")


def report(found: dict[str, Hung], best: float, rate: float) -> Report:
    """Hold each operation to what it was before."""
    figures: dict[str, float] = {
        "best_lives_per_s": best,
        "lives_per_s": rate,
        "lost": float(sum(hung.lost for hung in found.values())),
        "restless": float(sum(hung.restless for hung in found.values())),
        "probes_failed": float(sum(hung.during.failed + hung.before.failed for hung in found.values())),
    }
    rows, waits = [], []
    ratios: dict[str, list[float]] = {what: [] for what in OPERATIONS}
    for partner, hung in found.items():
        for what in OPERATIONS:
            before, during = _spoken(hung.before, what), _spoken(hung.during, what)
            if before is None or during is None:
                continue
            name = f"{partner}_{what}"
            figures |= {
                f"{name}_p50_ms_before": before.p50_ms,
                f"{name}_p50_ms_during": during.p50_ms,
                f"{name}_p99_ms_before": before.p99_ms,
                f"{name}_p99_ms_during": during.p99_ms,
                f"{name}_p50_ratio": during.p50_ms / before.p50_ms,
                f"{name}_p99_ratio": during.p99_ms / before.p99_ms,
            }
            ratios[what].append(figures[f"{name}_p99_ratio"])
            cells = (before.p50_ms, during.p50_ms, before.p99_ms, during.p99_ms)
            rows.append((f"{partner} hangs: {what}", *(number(cell) for cell in cells)))
        figures |= {f"{partner}_waited": float(hung.waited), f"{partner}_rest_s": hung.rest_s}
        waits.append(
            (
                partner,
                *(str(n) for n in (hung.promised, hung.waited)),
                number(hung.rest_s),
                *(str(n) for n in (hung.lost, hung.restless, hung.lives.done, hung.lives.failed)),
            )
        )
    columns = ("what", "p50 ms before", "p50 ms meanwhile", "p99 ms before", "p99 ms meanwhile")
    after = ("partner", "orders", "waited", "all at rest after s", "lost", "restless", "lives done", "lives broken off")
    series = tuple(
        Series(what, tuple(float(n) for n in range(1, len(of) + 1)), tuple(of)) for what, of in ratios.items()
    )
    return Report(
        name="hang",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(
            Table("one partner hangs for a minute", columns, tuple(rows)),
            Table("what waited for it", after, tuple(waits)),
        ),
        charts=(Chart(title="p99 meanwhile / before", x_label=", ".join(PARTNERS), y_label="ratio", series=series),),
        notes=(
            f"{rate:.0f} lives a second, {USE_MAX:.0%} of the best ({best:.0f}); a probe's command does without the partner",
            *(
                f"{partner} hangs, probes failed: {dict(hung.failures)}"
                for partner, hung in found.items()
                if hung.failures
            ),
        ),
    )


def _spoken(outcome: Outcome, what: str) -> Latency | None:
    samples = outcome.latencies_s.get(what)
    return latency(samples) if samples else None
