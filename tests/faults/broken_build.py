"""A copy of the project that is broken by `sabotage.py`, and the orders that meet each fault in it."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from domain.slices import partition_of
from tests.acceptance.started import ROOT, Started
from tests.faults.asking import Answer, Asker, Request
from tests.faults.checker import violations
from tests.faults.clients import Catalog, Client
from tests.faults.evidence import Evidence, read_documents, read_tables
from tests.faults.history import History, Outcome, Told, Wish
from tests.faults.laws import Violation
from tests.faults.partners import Partners
from tests.faults.quiescence import database_time, until_at_rest
from tests.faults.run import heard_all, listening
from tests.faults.sabotage import MUTANTS, OVERSOLD_SKU, customer
from tests.faults.second_owner import SecondOwner

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
RACED = ("taken_without_token", "refusal_by_a_replaced_shard")
SHIPPED = {"status": "shipped", "carrier": "SEUR", "tracking_number": "first-owner"}
DELIVERED = {"status": "delivered"}


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

    taken_without_token = refusal_by_a_replaced_shard

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


async def judge(started: Started, blind: Path) -> list[tuple[str, Violation]]:
    """Have every fault happen, and give what the checker finds, each with the customer whose order it is about.

    ``blind``: the build's file of shards that are not to find out that they were replaced.
    """
    endpoints = started.endpoints()
    history = History()
    async with aiohttp.ClientSession() as session, listening(endpoints) as listener:
        partners = Partners(endpoints["payment"].removesuffix("/payment"), session)
        asker = Asker("client", session, endpoints["api"], endpoints["token"], history)
        catalog = Catalog(plenty=[f"load-sku-{number}" for number in range(1, 30)], scarce=["load-sku-1"])

        def client(number: int, whose: str) -> Scripted:
            return Scripted(number, 1, asker, catalog, tag=f"{whose}-{number}", customer=whose)

        scripts: list[Callable[[], Awaitable[None]]] = [
            getattr(client(number, customer(name)), name) for number, name in enumerate(MUTANTS)
        ]
        await partners.say_nothing(customer("doubt_told_as_failure"))
        await partners.show_page(customer("page_taken_for_a_word"))
        await partners.show_page(SOUND)
        await asyncio.gather(*(script() for script in scripts), client(99, SOUND).sound())
        buyers = [*map(customer, RACED), SOUND]
        for turn in range(RACES_MAX):
            number = 100 + len(buyers) * turn
            orders = await asyncio.gather(*(client(number + n, who).prepared() for n, who in enumerate(buyers)))
            if await race_a_replaced_shard(asker, endpoints["database"], blind, dict(zip(buyers, orders, strict=True))):
                break
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


async def race_a_replaced_shard(asker: Asker, database_url: str, blind: Path, orders: dict[str, str]) -> bool:
    """Give orders to a shard that has no right to them, then ask for them where they were before. ``orders``: whose -> order id.

    False: the replaced shard had found out by then, from a commit of some other order, so that nothing was proven.
    """
    second = SecondOwner(database_url)
    partitions = {whose: partition_of(order_id) for whose, order_id in orders.items()}
    if len(set(partitions.values())) < len(partitions):
        return False
    owners = await second.owners()
    blind.write_text(" ".join(str(owners[partition]) for partition in partitions.values()))
    try:
        unfenced = customer("taken_without_token")
        await second.take_without_token([partitions.pop(unfenced)])
        await _ask(asker, orders[unfenced], Wish("ship"), SHIPPED)
        for partition in partitions.values():
            await second.take([partition])
        refused = customer("refusal_by_a_replaced_shard")
        versions = {whose: await _ship(asker, second, orders[whose]) for whose in (refused, SOUND)}
        answers = [
            await _ask(asker, orders[refused], Wish("deliver"), DELIVERED, if_match=versions[refused]),
            # The last one: what is committed for it shows the shard that it was replaced.
            await _ask(asker, orders[SOUND], Wish("deliver"), DELIVERED, if_match=versions[SOUND]),
        ]
    finally:
        blind.unlink()
    return answers[0].told.outcome is Outcome.REFUSED


async def _ship(asker: Asker, second: SecondOwner, order_id: str) -> int:
    """Note an order as shipped by the second owner, which counts as told: its version."""
    asked_s = time.monotonic()
    version = await second.ship(order_id)
    asker.history.add(
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
    return version


async def _ask(asker: Asker, order_id: str, wish: Wish, body: dict[str, str], *, if_match: int | None = None) -> Answer:
    request = Request(
        wish=wish,
        method="PUT",
        path=f"/api/orders/{order_id}/status",
        body=body,
        key=f"first-{order_id}",
        order_id=order_id,
        if_match=if_match,
    )
    return await asker.insist(request, random.Random(order_id))
