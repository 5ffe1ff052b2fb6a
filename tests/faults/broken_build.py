"""A copy of the project that is broken by `sabotage.py`, and the orders that meet each fault in it."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from tests.acceptance.started import ROOT, Started
from tests.faults.asking import Answer, Asker, Request
from tests.faults.bypass import SecondOwner
from tests.faults.checker import violations
from tests.faults.clients import Client, Shelf
from tests.faults.evidence import Evidence, read_documents, read_tables
from tests.faults.history import History, Outcome, Told, Wish
from tests.faults.laws import Violation
from tests.faults.partners import Partners
from tests.faults.rest import database_time, until_at_rest
from tests.faults.run import heard_all, listening
from tests.faults.sabotage import MUTANTS, OVERSOLD_SKU, customer

COPIED = ("actors", "api", "domain", "local", "messaging", "partners", "sagas", "storage")
FILES = (
    "dev",
    "settings.py",
    "supervised.py",
    "pyproject.toml",
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-bootstrap.lock",
)
SOUND = "load-customer-9100"
REST_LIMIT_S = 30.0
RACES_MAX = 5


def build(folder: Path) -> Path:
    """Make the copy in ``folder``, and give its ``dev``."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    for environment in ROOT.glob(".venv-*/"):
        (folder / environment.name).symlink_to(environment.resolve())
    shutil.copy2(ROOT / "tests/faults/sabotage.py", folder / "sitecustomize.py")
    return folder / "dev"


class Scripted(Client):
    """A client that does what shows one fault, for the customer whose orders have it."""

    patience = 1.0

    async def double_charge(self) -> None:
        """Buy."""
        await self.buy()

    lost_event = event_before_commit = version_gap = double_charge

    async def oversold(self) -> None:
        """Buy three of what is held once."""
        order = await self._create({OVERSOLD_SKU: 3})
        await self._pay(order["id"])
        await self._reach(order["id"], "prepared")

    async def ghost(self) -> None:
        """Create, and be told so."""
        await self._create()

    async def money_kept(self) -> None:
        """Cancel what is paid."""
        order = await self._create()
        await self._pay(order["id"])
        await self._reach(order["id"], "prepared")
        await self._cancel(order["id"])

    async def stale_read(self) -> None:
        """Read, change, read."""
        order = await self._create()
        await self._reach(order["id"], "validated")
        more = {"sku": "load-sku-9008", "quantity": 1}
        await self._change(order["id"], "POST", "/items", more, Wish("add", {"load-sku-9008": 1}))
        await self._show(order["id"])

    async def early_deadline(self) -> None:
        """Leave it unpaid."""
        await self._create()

    async def refusal_by_a_replaced_shard(self) -> None:
        """Nothing by itself: see ``race_a_replaced_shard``."""

    async def doubt_told_as_failure(self) -> None:
        """Pay by a connection that breaks once the money is taken."""
        order = await self._create()
        await self._reach(order["id"], "validated")
        pay = {"method": "card", "token": "tok_dropped"}
        await self._change(order["id"], "POST", "/payments", pay, Wish("pay"), wait_s=5)
        await self._cancel(order["id"])

    async def page_taken_for_a_word(self) -> None:
        """Order while something in between answers in the place of UserSvc."""
        order = await self._create()
        await self._reach(order["id"], "validated")

    async def prepared(self) -> str:
        """Buy, and give the order once it waits to be shipped."""
        order = await self._create()
        await self._pay(order["id"])
        await self._reach(order["id"], "prepared")
        order_id: str = order["id"]
        return order_id

    async def sound(self) -> None:
        """All of it, without any fault: nothing may be found."""
        for life in (self.buy, self.money_kept, self.stale_read, self.early_deadline, self.doubt_told_as_failure):
            await life()


async def judge(started: Started) -> list[tuple[str, Violation]]:
    """Have every fault happen, and give what the checker finds, each with the customer whose order it is about."""
    endpoints = started.endpoints()
    history = History()
    async with aiohttp.ClientSession() as session, listening(endpoints) as listener:
        partners = Partners(endpoints["payment"].removesuffix("/payment"), session)
        asker = Asker("client", session, endpoints["api"], endpoints["token"], history)
        shelf = Shelf(plenty=[f"load-sku-{number}" for number in range(1, 30)], scarce=["load-sku-1"])

        def client(number: int, whose: str) -> Scripted:
            return Scripted(number, 1, asker, shelf, tag=f"{whose}-{number}", customer=whose)

        scripts: list[Callable[[], Awaitable[None]]] = [
            getattr(client(number, customer(name)), name) for number, name in enumerate(MUTANTS)
        ]
        await partners.say_nothing(customer("doubt_told_as_failure"))
        await partners.show_page(customer("page_taken_for_a_word"))
        await partners.show_page(SOUND)
        second = SecondOwner(endpoints)
        await asyncio.gather(second.start(), *(script() for script in scripts), client(99, SOUND).sound())
        buyers = customer("refusal_by_a_replaced_shard"), SOUND
        for turn in range(RACES_MAX):
            orders = await asyncio.gather(*(client(100 + 2 * turn + n, who).prepared() for n, who in enumerate(buyers)))
            if await race_a_replaced_shard(asker, history, second, orders):
                break
            second = SecondOwner(endpoints)
            await second.start()
        evidence = Evidence(
            history=history, heard=listener.heard, unreadable=listener.unreadable, ledger=await partners.ledger()
        )
        evidence.restless = await until_at_rest(endpoints["database"], asker, partners, REST_LIMIT_S)
        evidence.quiet_from = await database_time(endpoints["database"])
        await read_tables(evidence, endpoints["database"])
        await read_documents(evidence, asker)
        evidence.ledger = await partners.ledger()
        await heard_all(evidence)
    whose = whose_orders(evidence)
    return [(whose.get(violation.order_id or "", ""), violation) for violation in violations(evidence)]


def whose_orders(evidence: Evidence) -> dict[str, str]:
    """Order id -> customer, of every order that was made or that a client was told of."""
    told = {each.order_id: each.customer_id for each in evidence.history.told if each.order_id and each.customer_id}
    return told | {order_id: row["customer_id"] for order_id, row in evidence.orders.items()}


async def race_a_replaced_shard(asker: Asker, history: History, second: SecondOwner, orders: list[str]) -> bool:
    """Change orders by a shard that does not own them, then ask for them where they were before, on the version that was told.

    False: the replaced shard had found out by then, from a commit of some other order, so that nothing was proven.
    """
    asked_s = time.monotonic()
    taken = await second.take_over(ship=orders)
    assert set(taken.versions) == set(orders), "the second owner could not change them"
    for order_id, version in taken.versions.items():
        history.add(
            Told(
                client="second-owner",
                wish=Wish("ship"),
                method="PUT",
                path=f"/api/orders/{order_id}/status",
                key=f"second-{order_id}",
                order_id=order_id,
                asked_s=asked_s,
                told_s=time.monotonic(),
                status=200,
                versions={order_id: version},
            )
        )
    # One after the other: what is committed for a sound one would show that it was replaced.
    answers = [await _deliver(asker, order_id, taken.versions[order_id]) for order_id in orders]
    await second.ended()
    return answers[0].told.outcome is Outcome.REFUSED


async def _deliver(asker: Asker, order_id: str, version: int) -> Answer:
    request = Request(
        wish=Wish("deliver"),
        method="PUT",
        path=f"/api/orders/{order_id}/status",
        body={"status": "delivered"},
        key=f"first-{order_id}",
        order_id=order_id,
        if_match=version,
    )
    return await asker.insist(request, random.Random(order_id))
