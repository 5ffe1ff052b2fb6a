"""The model of the database obeys what the real store does: the same random sequences, held against PostgreSQL step by step.

What the simulation proves with the model is worth as much as this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from domain.order import Order, Status
from domain.promotions import Promotion, PromotionKind
from domain.reference_data import ReferenceKind, ReferenceVersion
from domain.slices import PARTITIONS, dedicated_partition
from storage.reads.reference_data import CacheInvalidation, ReferenceCopies
from storage.redis_connection import QuietRedis
from storage.shards import ASSIGN
from storage.writes.commits import Commit, FlushResult
from storage.writes.order_store import OrderStore
from storage.writes.promotions import Promotions
from tests.faults.simulation.database import INBOX_CONSTRAINT, MemoryStore
from tests.integration.storage.orders import a_commit, an_order, next_of, paid_with
from tests.integration.storage.owning import add_process

SHARDS = ("order-shard-0", "order-shard-1", "order-shard-2")
PARTITION_NAMES = tuple(map(str, range(PARTITIONS)))
CELL = "main"
PROMOTIONS = (
    Promotion(code="ALL", kind=PromotionKind.FREE_SHIPPING, combinable=True),
    Promotion(code="ONE", kind=PromotionKind.FREE_SHIPPING, max_uses=1),
    Promotion(code="MINE", kind=PromotionKind.FREE_SHIPPING, max_uses_per_customer=1),
    Promotion(code="OFF", kind=PromotionKind.FREE_SHIPPING, active=False),
)
KINDS = tuple(ReferenceKind)
KEYS = ("a", "b", "c")
# Nobody listens there.
NO_COPIES = ReferenceCopies(
    QuietRedis("redis://127.0.0.1:1/0"), product_max_age_s=0, customer_max_age_s=0, currencies=("EUR",)
)
CODES = (*(promotion.code for promotion in PROMOTIONS), "NONE")
STEPS = 200
COLUMNS = "select id::text, check_at, deadline, is_running, is_open, set_aside from orders"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[OrderStore]:
    """The real one, on a database of the test's own."""
    opened = await OrderStore.open(database_url, application_name="test-contract")
    for promotion in PROMOTIONS:
        await Promotions(opened._database).create(promotion)
    yield opened
    await opened.close()


class Twins:
    """The real store and the model, to which the same happens; ``tokens`` pairs those that a process was given by each."""

    def __init__(self, real: OrderStore, seed: int) -> None:
        self.real = real
        self.random = Random(seed)
        self.at = datetime.min.replace(tzinfo=UTC)
        self.model = MemoryStore(lambda: self.at)
        self.model.promotion.update({promotion.code: promotion for promotion in PROMOTIONS})
        self.tokens: dict[str, list[tuple[str, str]]] = {}
        self.known: dict[str, Order] = {}
        self.messages = 0
        self.verdicts: set[str] = set()

    async def begin(self) -> None:
        """Let some shards be there, and the first of them own everything."""
        self.at = await self.real.now()
        for name in SHARDS:
            process = await add_process(self.real, name)
            self.model.register(process, name, "serving")
            await self.renew(process)
        await self._take(next(iter(self.tokens)), None, list(PARTITION_NAMES))

    async def step(self) -> None:
        """Let one thing happen to both, and compare what they say."""
        self.at = await self.real.now()
        acts: list[tuple[Callable[[], Any], int]] = [
            (self.flush, 28), (self.take, 2), (self.renew, 7), (self.give, 5), (self.split, 5), (self.merge, 5), (self.mark, 2),
            (self.assign, 2), (self.aside, 2), (self.raise_version, 2),
        ]  # fmt: skip
        act, _ = self.random.choices(acts, [weight for _, weight in acts])[0]
        await act()
        await self.compare()

    async def take(self) -> None:
        """Take some of what one owns, or of what it does not own any more."""
        owners = self.model.owners()
        former = self.random.choice([*self.tokens, None])
        process = self.random.choice([each for each in self.tokens if each != former])
        names = [*self.random.sample(sorted(owners), len(owners) // 2), "none of this name"]
        await self._take(process, former, names)

    async def _take(self, process: str, former: str | None, names: list[str]) -> None:
        taken = await self.real.take(process, former, names)
        assert taken == self.model.take(process, former, names)
        self.verdicts.add("taken" if taken else "not taken")

    async def renew(self, process: str | None = None) -> None:
        process = process or self.random.choice(list(self.tokens))
        tokens = await self.real.renew(process), self.model.renew(process)
        self.tokens.setdefault(process, []).append(tokens)

    async def give(self) -> None:
        """Mostly what the giver owns."""
        process, (real, model) = self._lease()
        to = self.random.choice([each for each in self.tokens if each != process])
        owned = sorted(self.model.owned(process))
        if owned and self.random.random() < 0.9:
            names = self.random.sample(owned, min(3, len(owned)))
        else:
            names = [self.random.choice([*sorted(self.model.owners()), "none of this name"])]
        for name in names:
            is_given = await self.real.give(process, real, name, to)
            assert is_given == self.model.give(process, model, name, to)
            self.verdicts.add("given" if is_given else "not given")

    async def split(self) -> None:
        """Mostly by who owns the order's partition."""
        order_id = self.random.choice([*sorted(self.known), str(UUID(int=1))])
        process, (real, model) = self._lease(self.model.owner_of_order(order_id))
        is_split = await self.real.split(process, real, order_id)
        assert is_split == self.model.split(process, model, order_id)
        self.verdicts.add("split" if is_split else "not split")

    async def merge(self) -> None:
        """Mostly by who owns the order's partition."""
        owners = self.model.owners()
        dedicated = [order_id for order_id in sorted(self.known) if dedicated_partition(order_id) in owners]
        order_id = self.random.choice([*(dedicated or sorted(self.known)), str(UUID(int=1))])
        process, (real, model) = self._lease(owners.get(dedicated_partition(order_id)))
        is_merged = await self.real.merge(process, real, order_id)
        assert is_merged == self.model.merge(process, model, order_id)
        self.verdicts.add("merged" if is_merged else "not merged")

    async def assign(self) -> None:
        name, role = self.random.choice(SHARDS), self.random.choice(("serving", "standby", "draining"))
        await self.real._database.fetch(ASSIGN, CELL, name, role)
        self.model.roles[name] = role

    async def mark(self) -> None:
        events = [key for key in sorted(self.model.unpublished_since) if self.random.random() < 0.5]
        events.append((str(UUID(int=1)), 1))
        await self.real.mark_published(events)
        self.model.mark_published(events)

    async def aside(self) -> None:
        if self.known:
            order_id = self.random.choice(sorted(self.known))
            if self.random.random() < 0.5:
                await self.real.set_aside(order_id, "why")
                self.model.set_aside(order_id, "why")
            else:
                await self.real.take_up_again(order_id)
                self.model.take_up_again(order_id)

    async def raise_version(self) -> None:
        change = ReferenceVersion(self.random.choice(KINDS), self.random.choice(KEYS), self.random.randrange(6))
        await CacheInvalidation(self.real.database, NO_COPIES).changed(change)
        self.model.raise_version(change)

    async def flush(self) -> None:
        process, (real, model) = self._lease()
        wanted: dict[str, Commit] = {}
        is_claiming = self.random.random() < 0.4
        for _ in range(self.random.randint(0, 4)):
            commit = self._commit(is_claiming=is_claiming)
            wanted[commit.order.id] = commit
        commits = list(wanted.values())
        told = await self.real.flush(process, real, commits)
        expected = self.model.flush(process, model, commits)
        assert told.owned == expected.owned
        assert told.committed == expected.committed
        assert told.refused == expected.refused
        assert told.outdated == expected.outdated
        assert told.poisoned.keys() == expected.poisoned.keys()
        for order_id, why in expected.poisoned.items():
            assert why in told.poisoned[order_id]
        self._note(told, commits)

    def _note(self, told: FlushResult, commits: list[Commit]) -> None:
        for commit in commits:
            order_id = commit.order.id
            if order_id in told.committed:
                self.known[order_id] = commit.order
            verdict = told.poisoned.get(order_id, told.refused.get(order_id, "stale"))
            verdict = "outdated" if order_id in told.outdated else verdict
            self.verdicts.add("committed" if order_id in told.committed else verdict if told.owned else "not owned")

    def _lease(self, owner: str | None = None) -> tuple[str, tuple[str, str]]:
        """Give a process, mostly the owner if one is named, with its token, or with one that it had."""
        if owner is None or self.random.random() >= 0.7:
            owner = self.random.choice(list(self.tokens))
        tokens = self.tokens[owner]
        return owner, tokens[-1] if self.random.random() < 0.85 else self.random.choice(tokens)

    def _commit(self, *, is_claiming: bool) -> Commit:
        """A new order, the next version of one, or something that is wrong in one way."""
        random = self.random
        if not self.known or random.random() < 0.25:
            order = an_order(order_id=str(UUID(int=random.getrandbits(128), version=4)))
            commit = a_commit(order, deadline=self._deadline())
        else:
            before = self.known[random.choice(sorted(self.known))]
            commit = self._next(before)
        if random.random() < 0.5:
            self.messages += random.random() < 0.8  # else it is one that came before, maybe for this order
            commit = msgspec.structs.replace(commit, message_id=f"m-{self.messages}", fingerprint="f", reply=b"r")
        if random.random() < 0.3:
            judged_by = (
                ReferenceVersion(random.choice(KINDS), random.choice(KEYS), random.randrange(6)) for _ in KINDS
            )
            commit = msgspec.structs.replace(commit, reference_versions=tuple(judged_by))
        if is_claiming:
            codes = random.sample(CODES, random.randint(0, 2))
            return msgspec.structs.replace(
                commit,
                promotion_uses=tuple((code, commit.order.customer_id) for code in codes),
                releases=(random.choice(CODES),) if random.random() < 0.3 else (),
            )
        return commit if random.random() < 0.85 else self._wrong(commit)

    def _next(self, before: Order) -> Commit:
        random = self.random
        if random.random() < 0.1:
            before = replace(before, version=before.version + random.choice((-1, 1, 3)))
        if random.random() < 0.1:
            return a_commit(before, base_version=before.version, events=0, message_id=f"again-{random.random()}")
        order = next_of(before)
        if random.random() < 0.15:
            order = replace(order, status=Status.CANCELLED, steps=())
            return a_commit(order)
        if random.random() < 0.3:
            order = replace(order, steps=() if order.steps else an_order().steps)
        if random.random() < 0.2:
            order = replace(order, number=f"ORD-{random.randrange(4)}")
        return a_commit(order, deadline=self._deadline(), events=random.choice((1, 1, 1, 2)))

    def _wrong(self, commit: Commit) -> Commit:
        random = self.random
        wrongs: tuple[Callable[[], Commit], ...] = (
            lambda: msgspec.structs.replace(commit, refunded=commit.paid + 1),
            lambda: msgspec.structs.replace(commit, total=-1),
            lambda: msgspec.structs.replace(
                commit,
                order=replace(commit.order, status=Status.CANCELLED, steps=()),
                deadline=self.at,
            ),
            lambda: msgspec.structs.replace(commit, ledger=(paid_with(commit.order, 5)[1],)),
        )
        return random.choice(wrongs)()

    def _deadline(self) -> datetime | None:
        """Well away from now: the clocks of the two are not the same to the millisecond."""
        seconds = self.random.choice((None, -600, -60, 60, 600))
        return None if seconds is None else self.at + timedelta(seconds=seconds)

    async def compare(self) -> None:
        """Everything that can be read shows the same."""
        real, model = self.real, self.model
        ids = [*sorted(self.known), str(UUID(int=2))]
        loaded = await real.load(ids)
        assert loaded == model.load(ids)
        rows = await real._database.fetch(COLUMNS)
        assert {row["id"]: tuple(row)[1:] for row in rows} == {
            order_id: (row.check_at, row.deadline, row.is_running, row.is_open, row.set_aside)
            for order_id, row in model.rows.items()
        }
        owners = await real.owners()
        assert owners == model.owners()
        assert await real.owner_names() == model.owner_names()
        for process in self.tokens:
            assert await real.owned(process) == model.owned(process)
        dedicated = [name for name in owners if name not in PARTITION_NAMES]
        assert sorted(await real.closed(dedicated)) == sorted(model.closed(dedicated))
        assert {row.process: (row.name, row.state) for row in await real.listed()} == {
            row.process: (row.name, row.state) for row in model.listed()
        }
        assert await real.shard_roles(CELL) == model.shard_roles(CELL)
        for order_id in ids[:4]:
            assert (order_id in await real.load([order_id])) == (order_id in model.rows)
            assert await real.reply(order_id, f"m-{self.messages}") == model.reply(order_id, f"m-{self.messages}")
        own = frozenset(self.random.sample(sorted(owners), len(owners) // 2))
        limit = self.random.choice((2, 100))
        ahead_s = self.random.choice((0.0, 120.0))
        assert await real.due(own, ahead_s, limit) == model.due(own, ahead_s, limit)
        page = await real.running(own, None, 3)
        assert page == model.running(own, None, 3)
        if page:
            after = (page[-1][1], page[-1][0])
            assert await real.running(own, after, 3) == model.running(own, after, 3)
        late = await real.unpublished_orders(own, 5, 1000)
        assert sorted(late) == sorted(model.unpublished_orders(own, 5, 1000))  # all are of one age
        assert await real.promotions(CODES) == model.promotions(CODES)
        used = await Promotions(real._database).used(CODES)
        assert {code: count for code, count in used.items() if count} == {
            code: sum(1 for each, _ in model.uses if each == code) for code in {code for code, _ in model.uses}
        }


@pytest.mark.parametrize("seed", range(4))
async def test_the_model_and_postgresql_say_the_same(store: OrderStore, seed: int) -> None:
    twins = Twins(store, seed)
    await twins.begin()
    for _ in range(STEPS):
        await twins.step()
    first = await store.take_numbers(7)
    assert first == twins.model.take_numbers(7)
    assert await store.take_numbers(1) == twins.model.take_numbers(1)
    assert {"committed", "stale", "outdated", "not owned", "discount_exhausted"} <= twins.verdicts
    assert {"taken", "given", "not given", "split", "not split", "merged", "not merged"} <= twins.verdicts
    assert any("ViolationError" in verdict for verdict in twins.verdicts)
    assert INBOX_CONSTRAINT not in twins.verdicts
