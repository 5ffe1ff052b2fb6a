"""One run of the black box: a service of its own, clients and faults at the same time, then rest, then the laws."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.acceptance.started import ROOT, Started
from tests.faults import bounds, incarnations
from tests.faults.asking import Asker
from tests.faults.audit_trigger import Listener, tap
from tests.faults.checker import violations
from tests.faults.clients import Catalog, Client
from tests.faults.evidence import Evidence, read_documents, read_tables
from tests.faults.history import History
from tests.faults.kills import Faults
from tests.faults.laws import Violation
from tests.faults.partners import PAGES_SHARE, Partners
from tests.faults.quiescence import database_time, until_at_rest
from tests.faults.schedule import LASTING, Planned, plan

# Waits are short, so that a run of a minute has what takes an hour in earnest; the rules are the same.
SETTINGS = {
    "SHARDS": "2",
    "API_PROCESSES": "2",
    "PAYMENT_WINDOW_S": "20",
    "PAYMENT_SETTLE_S": "8",
    "PAYMENT_WATCH_S": "8",
    "PAYMENT_ATTENTION_S": "12",
    "PARTNER_CALL_TIMEOUT_S": "1.5",
    "PARTNER_TOTAL_TIMEOUT_S": "5",
    "PRODUCT_CACHE_S": "5",
    "RATE_LIMIT_PER_MIN": "0",
    "LOG_LEVEL": "WARNING",
}
CONNECTIONS_MAX = 600
# A broker that is killed is no news here.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)
logging.getLogger("aio_pika").setLevel(logging.CRITICAL)
REST_LIMIT_S = 150.0
SETTLE_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long clients and faults are at work, how many clients there are, how often a fault happens, and the share of the partners'
    answers that are pages from something in between.
    """

    seconds: float
    clients: int = 12
    fault_every_s: float = 3.0
    pages_share: float = PAGES_SHARE
    kinds: tuple[str, ...] = tuple(LASTING)


@dataclass(slots=True, kw_only=True)
class Result:
    """What a run came to."""

    evidence: Evidence
    violations: list[Violation]
    planned: list[Planned] = field(default_factory=list)
    faults: Faults
    partners: Partners
    load_s: float
    rest_s: float


@contextlib.contextmanager
def service(
    program: Path = ROOT / "dev", settings: dict[str, str] | None = None, logs: Path | None = None
) -> Iterator[Started]:
    """A `./dev run` in a temporary folder, which is gone afterwards; its logs are copied to ``logs`` first."""
    folder = Path(tempfile.mkdtemp(prefix="ordersvc-faults-"))
    try:
        with Started(folder / "state", SETTINGS | (settings or {}), program=program) as started:
            yield started
    finally:
        if logs is not None:
            shutil.copytree(folder, logs, dirs_exist_ok=True, ignore=_all_but_logs)
        shutil.rmtree(folder, ignore_errors=True)


def _all_but_logs(folder: str, names: list[str]) -> list[str]:
    """What is no log, and no folder with logs in it."""
    paths = [Path(folder) / name for name in names]
    return [path.name for path in paths if not (path.is_dir() or path.suffix in {".log", ".out", ".err"})]


@contextlib.asynccontextmanager
async def listening(endpoints: dict[str, str]) -> AsyncIterator[Listener]:
    """Hear and see everything from now on."""
    await tap(endpoints["database"])
    listener = Listener(endpoints["amqp"], endpoints["database"])
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def run(started: Started, seed: int, size: Size) -> Result:
    """Load it, break it, let it come to rest, and judge it."""
    endpoints = started.endpoints()
    history = History()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    async with aiohttp.ClientSession(connector=connector) as session, listening(endpoints) as listener:
        partners = Partners(endpoints["payment"].removesuffix("/payment"), session, pages_share=size.pages_share)
        staff = Asker("staff", session, endpoints["api"], endpoints["token"], history)
        catalog = Catalog(plenty=[f"load-sku-{n}" for n in range(1, 101)], scarce=[f"scarce-{n}" for n in range(1, 6)])
        for sku in catalog.scarce:
            await partners.stock_up(sku)
        await partners.misbehave()
        clients = [
            Client(n, seed, Asker(f"client-{n}", session, endpoints["api"], endpoints["token"], history), catalog)
            for n in range(size.clients + 1)
        ]
        faults = Faults(started, endpoints, partners, clients.pop(0).crowd)
        evidence = Evidence(
            history=history, heard=listener.heard, unreadable=listener.unreadable, ledger=await partners.ledger()
        )
        sampling = asyncio.gather(
            bounds.sample(evidence.bounds, started, endpoints),
            incarnations.sample(evidence.processes, started, endpoints["database"]),
        )
        planned = plan(seed, size.seconds, every_s=size.fault_every_s, kinds=size.kinds)
        began_s = time.monotonic()
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(faults.run(planned, began_s))
                for client in clients:
                    work.create_task(client.live(began_s + size.seconds))
            load_s = time.monotonic() - began_s
            await _calm(partners)
            evidence.quiet_from = await database_time(endpoints["database"])
            evidence.restless = await until_at_rest(endpoints["database"], staff, partners, REST_LIMIT_S)
        finally:
            sampling.cancel()
        rest_s = time.monotonic() - began_s - load_s
        await read_tables(evidence, endpoints["database"])
        await read_documents(evidence, staff)
        evidence.ledger = await partners.ledger()
        await heard_all(evidence)
    return Result(
        evidence=evidence,
        violations=violations(evidence),
        planned=planned,
        faults=faults,
        partners=partners,
        load_s=load_s,
        rest_s=rest_s,
    )


async def _calm(partners: Partners) -> None:
    """Have the partners behave, as soon as they are there."""
    async with asyncio.timeout(REST_LIMIT_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await partners.calm()
                return
            await asyncio.sleep(0.2)


async def heard_all(evidence: Evidence) -> None:
    """Give what was published last the time to arrive."""
    wanted = {event.id for events in evidence.events.values() for event in events}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_LIMIT_S):
            while not wanted <= {heard.id for heard in evidence.heard}:
                await asyncio.sleep(0.1)
