from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.order import CancelReason, Status
from domain.payments import Payment, PaymentStatus
from storage.reads.order_queries import Bucket, GroupBy, OrderQueries
from storage.writes.commits import Commit
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import a_commit, an_order
from tests.integration.storage.owning import Lease

START = datetime(2026, 1, 5, tzinfo=UTC)
END = START + timedelta(days=2)


def sold(
    at: datetime, *, skus: tuple[str, ...], paid: int, refunded: int = 0, took_s: int = 0, **changes: Any
) -> Commit:
    """An order of which only the figures matter; each of its stages took ``took_s`` seconds more than the one
    before.
    """
    stages = ("validated_at", "paid_at", "confirmed_at", "prepared_at", "shipped_at", "delivered_at")
    times = {name: at + timedelta(seconds=took_s * n * (n + 1) // 2) for n, name in enumerate(stages, start=1)}
    order = an_order(skus=skus, created_at=at, steps=(), **((times if took_s else {}) | changes))
    return a_commit(order, deadline=None, paid=paid, refunded=refunded)


def tried(order_paid_in: int, *statuses: PaymentStatus) -> tuple[Payment, ...]:
    return tuple(
        Payment(
            payment_id=f"018f0000-0000-8000-8000-0000000000{i:02}",
            status=status,
            amount=order_paid_in,
            currency="EUR",
            method="card",
            created_at=START,
            updated_at=START,
        )
        for i, status in enumerate(statuses)
    )


@pytest.fixture
async def figures(store: OrderStore, lease: Lease) -> None:
    confirmed, rejected = PaymentStatus.CONFIRMED, PaymentStatus.REJECTED
    await store.flush(
        *lease,
        [
            # Two orders of the first day, in one hour, that went all the way.
            sold(START + timedelta(hours=1), skus=("a", "b"), paid=1000, took_s=1, status=Status.DELIVERED,
                 payments=tried(1000, rejected, confirmed)),
            sold(START + timedelta(hours=1, minutes=30), skus=("a",), paid=2001, refunded=500, took_s=3,
                 status=Status.DELIVERED, payments=tried(2001, confirmed)),
            # The second day: another currency, a cancelled order that was paid back, two that never paid.
            sold(START + timedelta(days=1), skus=("b",), paid=700, currency="JPY", status=Status.PREPARED,
                 customer_id="c-2", payments=tried(700, confirmed)),
            sold(START + timedelta(days=1, hours=3), skus=("b",), paid=300, refunded=300, status=Status.CANCELLED,
                 cancel_reason=CancelReason.CUSTOMER, payments=tried(300, confirmed)),
            sold(START + timedelta(days=1, hours=3), skus=("c",), paid=0, status=Status.CANCELLED,
                 cancel_reason=CancelReason.EXPIRED, payments=tried(10, rejected)),
            sold(START + timedelta(days=1, hours=3), skus=("c",), paid=0, status=Status.CREATED),
            # Outside: a moment too early, and at the very end.
            sold(START - timedelta(microseconds=1), skus=("a",), paid=10**6),
            sold(END, skus=("a",), paid=10**6),
        ],
    )  # fmt: skip


async def test_the_figures_are_those_reckoned_by_hand(queries: OrderQueries, store: OrderStore, figures: None) -> None:
    before = await store.now()
    told = await queries.statistics(since=START, until=END)
    assert datetime.fromisoformat(told.pop("as_of")) >= before - timedelta(milliseconds=1)
    assert told == {
        "from": "2026-01-05T00:00:00.000Z",
        "to": "2026-01-07T00:00:00.000Z",
        "orders": 6,
        "revenue": {"EUR": 1000 + 1501 + 0, "JPY": 700},
        # 2501 over the three EUR orders that were paid for: 833.67.
        "average_value": {"EUR": 834, "JPY": 700},
        "by_status": {"delivered": 2, "prepared": 1, "cancelled": 2, "created": 1},
        "cancelled": {"customer": 1, "expired": 1},
        "payments": {"attempts": 6, "rejected": 2, "failure_rate": 0.3333},
        # Of one second and of three, the nearest rank of 50 % is the lower, of 95 and 99 % the higher.
        "stages": {
            stage: {"n": 2, "p50_ms": n * 1000, "p95_ms": n * 3000, "p99_ms": n * 3000}
            for n, stage in enumerate(("validate", "pay", "confirm", "prepare", "ship", "deliver"), start=1)
        },
        "buckets": [],
        "groups": [],
    }


async def test_buckets_begin_at_full_hours_days_and_months_of_utc(queries: OrderQueries, figures: None) -> None:
    days = (await queries.statistics(since=START, until=END, bucket=Bucket.DAY))["buckets"]
    assert days == [
        {"start": "2026-01-05T00:00:00.000Z", "orders": 2, "revenue": {"EUR": 2501}},
        {"start": "2026-01-06T00:00:00.000Z", "orders": 4, "revenue": {"EUR": 0, "JPY": 700}},
    ]
    hours = (await queries.statistics(since=START, until=END, bucket=Bucket.HOUR))["buckets"]
    assert [(each["start"], each["orders"]) for each in hours] == [
        ("2026-01-05T01:00:00.000Z", 2),
        ("2026-01-06T00:00:00.000Z", 1),
        ("2026-01-06T03:00:00.000Z", 3),
    ]
    months = (await queries.statistics(since=START, until=END, bucket=Bucket.MONTH))["buckets"]
    assert months == [{"start": "2026-01-01T00:00:00.000Z", "orders": 6, "revenue": {"EUR": 2501, "JPY": 700}}]


async def test_groups_are_by_status_currency_or_sku(queries: OrderQueries, figures: None) -> None:
    async def groups(by: GroupBy) -> list[dict[str, object]]:
        found: list[dict[str, object]] = (await queries.statistics(since=START, until=END, group_by=by))["groups"]
        return found

    assert await groups(GroupBy.CURRENCY) == [
        {"key": "EUR", "orders": 5, "revenue": {"EUR": 2501}},
        {"key": "JPY", "orders": 1, "revenue": {"JPY": 700}},
    ]
    assert await groups(GroupBy.SKU) == [
        {"key": "a", "orders": 2, "revenue": {"EUR": 2501}},
        {"key": "b", "orders": 3, "revenue": {"EUR": 1000, "JPY": 700}},
        {"key": "c", "orders": 2, "revenue": {"EUR": 0}},
    ]
    assert {each["key"]: each["orders"] for each in await groups(GroupBy.STATUS)} == {
        "delivered": 2, "prepared": 1, "cancelled": 2, "created": 1,
    }  # fmt: skip


async def test_a_customers_figures_are_those_of_the_customers_orders(queries: OrderQueries, figures: None) -> None:
    told = await queries.statistics(since=START, until=END, customer_id="c-2")
    assert told["orders"] == 1
    assert told["revenue"] == {"JPY": 700}


async def test_no_orders_have_figures_too(queries: OrderQueries, store: OrderStore) -> None:
    told = await queries.statistics(since=START, until=END, bucket=Bucket.DAY, group_by=GroupBy.SKU)
    told.pop("as_of")
    assert told == {
        "from": "2026-01-05T00:00:00.000Z", "to": "2026-01-07T00:00:00.000Z", "orders": 0, "revenue": {},
        "average_value": {}, "by_status": {}, "cancelled": {}, "stages": {}, "buckets": [], "groups": [],
        "payments": {"attempts": 0, "rejected": 0, "failure_rate": 0},
    }  # fmt: skip
