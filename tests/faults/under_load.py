"""Clients at work while something is done to the service, then rest, then the laws: for faults that need no schedule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from tests.acceptance.started import Started
from tests.faults.asking import Asker
from tests.faults.checker import violations
from tests.faults.clients import Catalog, Client
from tests.faults.evidence import Evidence, read_documents, read_tables
from tests.faults.history import History, Outcome, Told
from tests.faults.laws import FINAL, Violation
from tests.faults.partners import Partners
from tests.faults.quiescence import database_time, until_at_rest
from tests.faults.run import CONNECTIONS_MAX, listening

# Short waits: what is left unpaid has to expire before everything is at rest.
SETTINGS = {"PAYMENT_WINDOW_S": "12", "PAYMENT_SETTLE_S": "4", "PAYMENT_WATCH_S": "4", "ACTOR_IDLE_S": "3"}
LOAD_LIMIT_S = 180.0
REST_LIMIT_S = 90.0
HEARD_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of it: ``finished`` orders have come to their end; ``failed`` requests were answered "not now", with a failure, or not
    at all.
    """

    violations: list[Violation]
    finished: int
    failed: list[Told]
    load_s: float
    rest_s: float


async def under_load(
    started: Started, seed: int, clients: int, sabotage: Callable[[], Awaitable[None]], *, database_url: str = ""
) -> Came:
    """Let clients live until ``sabotage`` is over. ``database_url``: the way to the database that is not sabotaged."""
    endpoints = dict(started.endpoints())
    endpoints["database"] = database_url or endpoints["database"]
    history = History()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX)) as session,
        listening(endpoints) as listener,
    ):
        partners = Partners(endpoints["payment"].removesuffix("/payment"), session)
        catalog = Catalog(plenty=[f"load-sku-{n}" for n in range(1, 101)], scarce=["scarce-1"])
        await partners.stock_up("scarce-1")
        staff = Asker("staff", session, endpoints["api"], endpoints["token"], history)
        evidence = Evidence(
            history=history, heard=listener.heard, unreadable=listener.unreadable, ledger=await partners.ledger()
        )
        began_s = time.monotonic()
        shoppers = [
            Client(n, seed, Asker(f"client-{n}", session, endpoints["api"], endpoints["token"], history), catalog)
            for n in range(clients)
        ]
        async with asyncio.TaskGroup() as work:
            for shopper in shoppers:
                work.create_task(shopper.live(began_s + LOAD_LIMIT_S))
            await sabotage()
            for shopper in shoppers:
                shopper.stop()
        load_s = time.monotonic() - began_s
        await partners.calm()
        evidence.quiet_from = await database_time(endpoints["database"])
        evidence.restless = await until_at_rest(endpoints["database"], staff, partners, REST_LIMIT_S)
        await read_tables(evidence, endpoints["database"])
        await read_documents(evidence, staff)
        evidence.ledger = await partners.ledger()
        await _heard_all(evidence)
    return Came(
        violations=violations(evidence),
        finished=sum(row["status"] in FINAL for row in evidence.orders.values()),
        failed=[told for told in history.told if told.outcome in (Outcome.NOT_NOW, Outcome.UNKNOWN)],
        load_s=load_s,
        rest_s=time.monotonic() - began_s - load_s,
    )


async def _heard_all(evidence: Evidence) -> None:
    """Give what was published last the time to arrive; what has not by then is against a law."""
    wanted = {event.id for events in evidence.events.values() for event in events}
    stop_s = time.monotonic() + HEARD_LIMIT_S
    while not wanted <= {heard.id for heard in evidence.heard} and time.monotonic() < stop_s:
        await asyncio.sleep(0.1)
