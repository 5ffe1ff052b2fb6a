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
from storage.commits import Commit, FlushResult
from storage.promotions import Promotions
from storage.snapshots import OrderStore
from tests.faults.simulation.database import INBOX_CONSTRAINT, MemoryStore
from tests.integration.storage.orders import a_commit, an_order, next_of, paid_with

GROUPS = ("slices-0-of-2", "slices-1-of-2")
SHARES = ((0, 2), (1, 2))
PROMOTIONS = (
    Promotion(code="ALL", kind=PromotionKind.FREE_SHIPPING, combinable=True),
    Promotion(code="ONE", kind=PromotionKind.FREE_SHIPPING, max_uses=1),
    Promotion(code="MINE", kind=PromotionKind.FREE_SHIPPING, max_uses_per_customer=1),
    Promotion(code="OFF", kind=PromotionKind.FREE_SHIPPING, active=False),
)
CODES = (*(promotion.code for promotion in PROMOTIONS), "NONE")
STEPS = 120
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
    """The real store and the model, to which the same happens; ``epochs`` pairs theirs."""

    def __init__(self, real: OrderStore, seed: int) -> None:
        self.real = real
        self.random = Random(seed)
        self.at = datetime.min.replace(tzinfo=UTC)
        self.model = MemoryStore(lambda: self.at)
        self.model.promotion.update({promotion.code: promotion for promotion in PROMOTIONS})
        self.epochs: dict[str, list[tuple[int, int]]] = {}
        self.known: dict[str, Order] = {}
        self.messages = 0
        self.verdicts: set[str] = set()

    async def step(self) -> None:
        """Let one thing happen to both, and compare what they say."""
        self.at = await self.real.now()
        act: Callable[[], Any] = self.random.choice(
            [self.flush] * 12 + [self.take, self.renew, self.dedicate, self.undedicate, self.mark, self.aside]
        )
        await act()
        await self.compare()

    async def take(self, group: str | None = None) -> None:
        group = group or self.random.choice(GROUPS)
        real = await self.real.take(group, "shard")
        self.epochs.setdefault(group, []).append((real, self.model.take(group, "shard")))

    async def renew(self) -> None:
        group, (real, model) = self._epoch()
        renewed = await self.real.renew(group, real), self.model.renew(group, model)
        assert (renewed[0] is None) == (renewed[1] is None)
        if renewed[0] is not None and renewed[1] is not None:
            self.epochs[group].append((renewed[0], renewed[1]))

    async def dedicate(self) -> None:
        if self.known:
            order_id = self.random.choice(sorted(self.known))
            real = await self.real.dedicate(order_id, "own")
            self.epochs.setdefault(f"order-{order_id}", []).append((real, self.model.dedicate(order_id, "own")))

    async def undedicate(self) -> None:
        own = [group for group in self.epochs if group.startswith("order-")]
        if own:
            order_id = self.random.choice(own).removeprefix("order-")
            await self.real.undedicate(order_id)
            self.model.undedicate(order_id)

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

    async def flush(self) -> None:
        group, (real, model) = self._epoch()
        wanted: dict[str, Commit] = {}
        is_claiming = self.random.random() < 0.4
        for _ in range(self.random.randint(0, 4)):
            commit = self._commit(is_claiming=is_claiming)
            wanted[commit.order.id] = commit
        commits = list(wanted.values())
        told = await self.real.flush(group, real, commits)
        expected = self.model.flush(group, model, commits)
        assert told.owned == expected.owned
        assert told.committed == expected.committed
        assert told.refused == expected.refused
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
            self.verdicts.add("committed" if order_id in told.committed else verdict if told.owned else "not owned")

    def _epoch(self) -> tuple[str, tuple[int, int]]:
        """Mostly the last of a group, sometimes one that is over."""
        group = self.random.choice(sorted(self.epochs))
        epochs = self.epochs[group]
        return group, epochs[-1] if self.random.random() < 0.85 else self.random.choice(epochs)

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
        if is_claiming:
            codes = random.sample(CODES, random.randint(0, 2))
            return msgspec.structs.replace(
                commit,
                claims=tuple((code, commit.order.customer_id) for code in codes),
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
        assert {group: owner.shard for group, owner in (await real.owners()).items()} == {
            group: owner.shard for group, owner in model.owners().items()
        }
        assert await real.dedicated() == model.dedicated()
        for order_id in ids[:4]:
            assert await real.has_order(order_id) == model.has_order(order_id)
            assert await real.reply(order_id, f"m-{self.messages}") == model.reply(order_id, f"m-{self.messages}")
        share = self.random.choice(SHARES)
        limit = self.random.choice((2, 100))
        ahead_s = self.random.choice((0.0, 120.0))
        assert await real.due(share, ahead_s, limit) == model.due(share, ahead_s, limit)
        assert await real.overdue(30, limit) == model.overdue(30, limit)
        page = await real.running(share, None, 3)
        assert page == model.running(share, None, 3)
        if page:
            after = (page[-1][1], page[-1][0])
            assert await real.running(share, after, 3) == model.running(share, after, 3)
        late = await real.unpublished_orders(share, 5, 1000)
        assert sorted(late) == sorted(model.unpublished_orders(share, 5, 1000))  # all are of one age
        assert await real.promotions(CODES) == model.promotions(CODES)
        used = await Promotions(real._database).used(CODES)
        assert {code: count for code, count in used.items() if count} == {
            code: sum(1 for each, _ in model.uses if each == code) for code in {code for code, _ in model.uses}
        }


@pytest.mark.parametrize("seed", range(4))
async def test_the_model_and_postgresql_say_the_same(store: OrderStore, seed: int) -> None:
    twins = Twins(store, seed)
    for group in GROUPS:
        await twins.take(group)
    for _ in range(STEPS):
        await twins.step()
    first = await store.take_numbers(7)
    assert first == twins.model.take_numbers(7)
    assert await store.take_numbers(1) == twins.model.take_numbers(1)
    assert {"committed", "stale", "not owned", "discount_exhausted"} <= twins.verdicts
    assert any("ViolationError" in verdict for verdict in twins.verdicts)
    assert INBOX_CONSTRAINT not in twins.verdicts
