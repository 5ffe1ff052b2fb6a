"""After the faults: staff attend to what needs them, and everything else has to come to rest by itself, within a limit (L5)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg

from tests.faults.asking import Asker, Request
from tests.faults.history import Wish
from tests.faults.partners import Partners

LOOK_EVERY_S = 0.5
ATTEND_EVERY_S = 3.0
STATEMENT_LIMIT_S = 10.0

RESTLESS = """
select o.id::text, case
    when o.set_aside is not null then 'set aside: ' || o.set_aside
    when o.needs_attention then 'needs attention (' || o.status || ')'
    when o.is_running then 'a step is running (' || o.status || ')'
    when o.deadline is not null then 'it waits for ' || o.deadline || ' (' || o.status || ')'
    when o.is_open and o.status not in ('prepared', 'shipped') then 'it is ' || o.status
    else 'an event is unpublished' end as why
from orders o
where o.needs_attention or o.is_running or o.deadline is not null or o.set_aside is not null
    or (o.is_open and o.status not in ('prepared', 'shipped'))
    or exists (select from unpublished_events u where u.order_id = o.id)
"""


async def database_time(database_url: str, limit_s: float = 60.0) -> datetime:
    """The database's clock, as soon as the database can be asked again."""
    stop_s = time.monotonic() + limit_s
    while True:
        try:
            rows = await _ask(database_url, "select clock_timestamp() as now")
        except (asyncpg.PostgresError, OSError, TimeoutError):
            if time.monotonic() > stop_s:
                raise
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            now: datetime = rows[0]["now"]
            return now


async def until_at_rest(database_url: str, staff: Asker, partners: Partners, limit_s: float) -> dict[str, str]:
    """Return when all orders are at rest: nothing; or at the limit: which ones are not, and why."""
    stop_s = time.monotonic() + limit_s
    attended_s = 0.0
    while True:
        restless: dict[str, str] = {"": "the database can't be asked"}
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            restless = {row["id"]: row["why"] for row in await _ask(database_url, RESTLESS)}
        if not restless or time.monotonic() > stop_s:
            return restless
        if time.monotonic() > attended_s + ATTEND_EVERY_S:
            in_need = [order_id for order_id, why in restless.items() if "attention" in why]
            await asyncio.gather(*(attend(staff, partners, order_id) for order_id in in_need))
            attended_s = time.monotonic()
        await asyncio.sleep(LOOK_EVERY_S)


async def attend(staff: Asker, partners: Partners, order_id: str) -> None:
    """What staff do: record what became of a payment that PaymentSvc leaves undecided, cancel an order whose payment took something
    else, and have everything else tried again.
    """
    path = f"/api/orders/{order_id}"
    shown = await staff.ask(Request(wish=Wish("show"), method="GET", path=path, order_id=order_id))
    if not shown.is_done:
        return
    if await _record(staff, partners, order_id, shown.document["payments"]):
        return
    is_mismatched = any(payment["status"] == "mismatched" for payment in shown.document["payments"])
    if is_mismatched and shown.document["status"] in ("created", "validated"):
        cancel = Request(wish=Wish("cancel"), method="DELETE", path=path, key=f"attend-{order_id}", order_id=order_id)
        await staff.insist(cancel, random.Random(order_id))
    else:
        await _verb(staff, order_id, {"action": "retry"}, Wish("attend"))


async def _record(staff: Asker, partners: Partners, order_id: str, payments: list[dict[str, Any]]) -> bool:
    """Write down what PaymentSvc tells staff of what it leaves undecided. False where there is nothing, or it knows nothing of it."""
    for payment in payments:
        open_refunds = [refund for refund in payment["refunds"] if refund["status"] == "processing"]
        told: Any = None
        with contextlib.suppress(aiohttp.ClientError, OSError):
            if payment["status"] in ("processing", "in_doubt"):
                subject, told = payment["payment_id"], await partners.decide(payment["payment_id"])
            elif open_refunds:
                subject, told = open_refunds[0]["refund_id"], await partners.decide_refund(open_refunds[0]["refund_id"])
        if told is None:
            continue
        amount = told["amount"]["amount"] if isinstance(told["amount"], dict) else told["amount"]
        word = {
            "action": "record",
            "subject": subject,
            "outcome": told["status"],
            "amount": amount,
            "currency": payment["currency"],
            "reference": "by telephone",
            "note": "PaymentSvc says so",
        }
        await _verb(staff, order_id, word, Wish("attend", says={subject: told["status"]}))
        return True
    return False


async def _verb(staff: Asker, order_id: str, body: dict[str, Any], wish: Wish) -> None:
    path = f"/api/orders/{order_id}/attention"
    await staff.ask(Request(wish=wish, method="POST", path=path, body=body, order_id=order_id))


async def _ask(database_url: str, sql: str) -> list[Any]:
    connection: Any = await asyncpg.connect(database_url, timeout=STATEMENT_LIMIT_S, command_timeout=STATEMENT_LIMIT_S)
    try:
        rows: list[Any] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()
