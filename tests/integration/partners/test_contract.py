"""contracts/partners.yaml over HTTP: every operation, every status and code, the lists, against any partners.

Through our clients, which take nothing that the contract does not describe; what they never ask for, in plain requests.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from domain.calls import (
    Charge,
    CommitHold,
    CustomerFetched,
    Declined,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldAnswered,
    HoldLine,
    NotFound,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    RefundPayment,
    ReleaseHold,
    Verify,
    VerifyRefund,
)
from domain.money import Money
from domain.order import Product

SETTLE_LIMIT_S = 20.0
PRICE = Money(7125, "EUR")
PAGE_MAX_ROWS = 200


def _new_id() -> str:
    return str(uuid.uuid4())


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def _hold(sku: str, *, revision: int = 1, quantity: int = 1, until: datetime | None = None) -> Hold:
    return Hold(revision, until or _in(10), (HoldLine(sku, quantity),))


def _charge(partners: Any, *, payment_id: str | None = None, amount: Money = PRICE, token: str | None = None) -> Charge:
    return Charge(
        payment_id=payment_id or _new_id(),
        customer_id=partners.customer_id,
        amount=amount,
        method="card",
        token=token,
    )


async def _eventually(ask: Callable[[], Awaitable[Outcome]], is_it: Callable[[Any], bool]) -> Outcome:
    """Ask until the answer is the one awaited; the limit fails the test with the last answer."""
    deadline = asyncio.get_running_loop().time() + SETTLE_LIMIT_S
    while True:
        outcome = await ask()
        if is_it(outcome) or asyncio.get_running_loop().time() > deadline:
            return outcome
        await asyncio.sleep(0.02)


async def _product(partners: Any) -> Product:
    outcome = await partners.product.perform(_new_id(), FetchProducts((partners.sku,), "EUR"))
    assert isinstance(outcome, ProductsFetched)
    (product,) = outcome.products
    return product


def _code(outcome: Outcome) -> tuple[int, str]:
    assert isinstance(outcome, Declined), outcome
    return outcome.status, outcome.code


# ProductSvc


async def test_a_product_is_sellable_and_priced_in_the_currency_asked_for(partners: Any) -> None:
    product = await _product(partners)
    assert (product.sku, product.currency, product.sellable) == (partners.sku, "EUR", True)


async def test_an_unknown_sku_is_absent(partners: Any) -> None:
    request = FetchProducts((partners.sku, f"no-{_new_id()}"), "EUR")
    outcome = await partners.product.perform(_new_id(), request)
    assert isinstance(outcome, ProductsFetched)
    assert [product.sku for product in outcome.products] == [partners.sku]


async def test_as_many_skus_as_an_order_may_have_can_be_asked_for(partners: Any) -> None:
    skus = (*(f"no-{_new_id()}" for _ in range(399)), partners.sku)
    outcome = await partners.product.perform(_new_id(), FetchProducts(skus, "EUR"))
    assert isinstance(outcome, ProductsFetched)
    assert [product.sku for product in outcome.products] == [partners.sku]


async def test_a_hold_takes_stock_and_gives_it_back_for_good(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    assert await partners.product.perform(order, _hold(partners.sku, quantity=3)) == HoldAnswered(1, "held")
    during = await _product(partners)
    assert during.available == before.available - 3
    assert during.version > before.version
    assert await partners.product.perform(order, ReleaseHold()) == HoldAnswered(1, "released")
    assert (await _product(partners)).available == before.available
    assert await partners.product.perform(order, ReleaseHold()) == HoldAnswered(1, "released")
    late = await partners.product.perform(order, _hold(partners.sku, revision=2))
    assert _code(late) == (409, "hold_released")


async def test_a_hold_asked_for_twice_takes_the_stock_once(partners: Any) -> None:
    order, request = _new_id(), _hold(partners.sku)
    before = await _product(partners)
    assert await partners.product.perform(order, request) == HoldAnswered(1, "held")
    assert await partners.product.perform(order, request) == HoldAnswered(1, "held")
    assert (await _product(partners)).available == before.available - 1
    await partners.product.perform(order, ReleaseHold())


async def test_the_same_revision_with_other_lines_is_a_conflict(partners: Any) -> None:
    order, until = _new_id(), _in(10)
    await partners.product.perform(order, _hold(partners.sku, until=until))
    other = await partners.product.perform(order, _hold(partners.sku, quantity=2, until=until))
    assert _code(other) == (409, "conflict")
    await partners.product.perform(order, ReleaseHold())


async def test_a_higher_revision_replaces_what_is_held_and_a_lower_one_is_stale(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    await partners.product.perform(order, _hold(partners.sku, revision=2, quantity=5))
    assert await partners.product.perform(order, _hold(partners.sku, revision=3)) == HoldAnswered(3, "held")
    assert (await _product(partners)).available == before.available - 1
    assert _code(await partners.product.perform(order, _hold(partners.sku, revision=2))) == (409, "stale_revision")
    assert _code(await partners.product.perform(order, CommitHold(2))) == (409, "stale_revision")
    await partners.product.perform(order, ReleaseHold())


async def test_a_hold_of_more_than_there_is_tells_what_is_short_and_keeps_what_was_held(partners: Any) -> None:
    order = _new_id()
    free = (await _product(partners)).available
    await partners.product.perform(order, _hold(partners.sku, revision=1, quantity=2))
    refused = await partners.product.perform(order, _hold(partners.sku, revision=2, quantity=free + 1))
    assert _code(refused) == (409, "out_of_stock")
    assert isinstance(refused, Declined)
    assert [(shortage.sku, shortage.available) for shortage in refused.shortages] == [(partners.sku, free)]
    assert (await _product(partners)).available == free - 2
    assert await partners.product.perform(order, CommitHold(1)) == HoldAnswered(1, "committed")
    await partners.product.perform(order, ReleaseHold())
    assert (await _product(partners)).available == free


async def test_all_lines_are_held_or_none(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    lines = (HoldLine(partners.sku, 1), HoldLine(f"no-{_new_id()}", 1))
    assert _code(await partners.product.perform(order, Hold(1, _in(10), lines))) == (409, "out_of_stock")
    assert (await _product(partners)).available == before.available


async def test_committing_makes_a_hold_firm_and_its_repeats_are_answered_alike(partners: Any) -> None:
    order, request = _new_id(), _hold(partners.sku)
    await partners.product.perform(order, request)
    assert await partners.product.perform(order, CommitHold(1)) == HoldAnswered(1, "committed")
    assert await partners.product.perform(order, CommitHold(1)) == HoldAnswered(1, "committed")
    assert await partners.product.perform(order, request) == HoldAnswered(1, "committed")
    other = await partners.product.perform(order, _hold(partners.sku, revision=2))
    assert _code(other) == (409, "already_committed")
    assert await partners.product.perform(order, ReleaseHold()) == HoldAnswered(1, "released")
    assert _code(await partners.product.perform(order, CommitHold(1))) == (409, "hold_released")


async def test_a_hold_ends_by_itself_and_can_be_asked_for_again(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    await partners.product.perform(order, _hold(partners.sku, until=_in(0.3 / 60)))
    given_back = await _eventually(
        lambda: partners.product.perform(order, FetchProducts((partners.sku,), "EUR")),
        lambda outcome: outcome.products[0].available == before.available,
    )
    assert isinstance(given_back, ProductsFetched)
    assert given_back.products[0].available == before.available
    assert _code(await partners.product.perform(order, CommitHold(1))) == (409, "hold_expired")
    assert await partners.product.perform(order, _hold(partners.sku, revision=2)) == HoldAnswered(2, "held")
    await partners.product.perform(order, ReleaseHold())


async def test_a_commit_without_a_hold_is_not_known(partners: Any) -> None:
    assert await partners.product.perform(_new_id(), CommitHold(1)) == NotFound()


async def test_releasing_before_holding_keeps_a_late_hold_out(partners: Any) -> None:
    order = _new_id()
    outcome = await partners.product.perform(order, ReleaseHold())
    assert isinstance(outcome, HoldAnswered)
    assert outcome.state == "released"
    assert _code(await partners.product.perform(order, _hold(partners.sku))) == (409, "hold_released")
    assert _code(await partners.product.perform(order, CommitHold(1))) == (409, "hold_released")


async def test_stock_is_never_oversold_by_orders_that_come_together(partners: Any) -> None:
    free = (await _product(partners)).available
    share = free // 4
    orders = [_new_id() for _ in range(6)]
    outcomes = await asyncio.gather(
        *(partners.product.perform(order, _hold(partners.sku, quantity=share)) for order in orders)
    )
    held = sum(outcome == HoldAnswered(1, "held") for outcome in outcomes)
    refused = sum(isinstance(outcome, Declined) and outcome.code == "out_of_stock" for outcome in outcomes)
    assert (held, refused) == (free // share, 6 - free // share)
    for order in orders:
        await partners.product.perform(order, ReleaseHold())
    assert (await _product(partners)).available == free


# PaymentSvc


async def test_a_charge_is_settled_once_however_often_it_is_sent(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners)
    first = await partners.payment.perform(order, charge)
    assert isinstance(first, PaymentAnswered)
    assert (first.status, first.amount, first.payment_id) == ("confirmed", PRICE, charge.payment_id)
    assert await partners.payment.perform(order, charge) == first
    assert await partners.payment.perform(order, Verify(charge.payment_id)) == first


async def test_a_known_payment_id_with_other_content_is_a_conflict(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners)
    await partners.payment.perform(order, charge)
    other = _charge(partners, payment_id=charge.payment_id, amount=Money(1, "EUR"))
    assert _code(await partners.payment.perform(order, other)) == (409, "conflict")


async def test_a_declined_charge_says_why_and_stays_declined(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners, token=partners.token_declined)
    first = await partners.payment.perform(order, charge)
    assert isinstance(first, PaymentAnswered)
    assert first.status == "rejected"
    assert first.code
    assert await partners.payment.perform(order, Verify(charge.payment_id)) == first


async def test_a_charge_under_way_is_settled_later(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners, token=partners.token_processing)
    first = await partners.payment.perform(order, charge)
    assert isinstance(first, PaymentAnswered)
    assert first.status == "processing"
    settled = await _eventually(
        lambda: partners.payment.perform(order, Verify(charge.payment_id)),
        lambda outcome: outcome.status != "processing",
    )
    assert isinstance(settled, PaymentAnswered)
    assert (settled.status, settled.amount) == ("confirmed", PRICE)


async def test_a_payment_that_never_arrived_is_not_known(partners: Any) -> None:
    assert await partners.payment.perform(_new_id(), Verify(_new_id())) == NotFound()


async def test_money_is_given_back_in_parts_but_never_more_than_was_taken(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners)
    await partners.payment.perform(order, charge)

    def refund(amount: int, refund_id: str | None = None) -> RefundPayment:
        return RefundPayment(
            refund_id=refund_id or _new_id(),
            payment_id=charge.payment_id,
            amount=Money(amount, "EUR"),
            reason="cancelled",
        )

    first = refund(5000)
    answer = RefundAnswered(refund_id=first.refund_id, status="refunded", amount=Money(5000, "EUR"))
    assert await partners.payment.perform(order, first) == answer
    assert await partners.payment.perform(order, first) == answer
    assert await partners.payment.perform(order, VerifyRefund(first.refund_id)) == answer
    assert _code(await partners.payment.perform(order, refund(4000, first.refund_id))) == (409, "conflict")
    assert _code(await partners.payment.perform(order, refund(2126))) == (409, "exceeds_captured")
    assert isinstance(await partners.payment.perform(order, refund(2125)), RefundAnswered)
    assert _code(await partners.payment.perform(order, refund(1))) == (409, "exceeds_captured")


async def test_a_refund_of_an_unknown_payment_is_not_known(partners: Any) -> None:
    request = RefundPayment(refund_id=_new_id(), payment_id=_new_id(), amount=PRICE, reason="cancelled")
    assert await partners.payment.perform(_new_id(), request) == NotFound()
    assert await partners.payment.perform(_new_id(), VerifyRefund(request.refund_id)) == NotFound()


async def test_nothing_is_given_back_of_a_payment_that_was_declined(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners, token=partners.token_declined)
    await partners.payment.perform(order, charge)
    request = RefundPayment(refund_id=_new_id(), payment_id=charge.payment_id, amount=Money(1, "EUR"), reason="x")
    assert _code(await partners.payment.perform(order, request)) == (409, "exceeds_captured")


# UserSvc


async def test_a_customer_is_active_and_has_an_address(partners: Any) -> None:
    outcome = await partners.user.perform(_new_id(), FetchCustomer(partners.customer_id))
    assert isinstance(outcome, CustomerFetched)
    assert (outcome.customer.customer_id, outcome.customer.status) == (partners.customer_id, "active")
    assert outcome.customer.addresses


@pytest.mark.parametrize("customer_id", ["no-such-customer", "..", "a/b?c#d", "ü"])
async def test_an_unknown_customer_is_not_known(partners: Any, customer_id: str) -> None:
    assert await partners.user.perform(_new_id(), FetchCustomer(customer_id)) == NotFound()


# What is the same everywhere: refusals are problems with a code, answers are JSON.

NEW = "{new}"  # stands for an id that nobody has seen
REFUND_OF_NOTHING = {"refund_id": NEW, "payment_id": NEW, "amount": {"amount": 1, "currency": "EUR"}}
BAD_AMOUNT = {"payment_id": NEW, "order_id": NEW, "customer_id": "c", "method": "card", "amount": {"amount": "1"}}
SINCE = "updated_since=2026-01-01T00:00:00Z"


@dataclass
class Plain:
    """Requests as they are written, with no client of ours in between."""

    urls: Any
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str, Any]:
        """Send one request to ``partner/path`` and give status, media type and body; ``{new}`` is an id, a new one each time."""
        partner, _, rest = path.replace(NEW, _new_id()).partition("/")
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        if isinstance(content, str):
            while NEW in content:
                content = content.replace(NEW, _new_id(), 1)
        url = URL(f"{getattr(self.urls, partner).rstrip('/')}/{rest}", encoded=True)
        headers = {"Content-Type": "application/json"}
        async with self.session.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
            return response.status, response.content_type, await response.json(content_type=None)

    async def rows(self, path: str, since: str, until: str | None = None) -> list[dict[str, Any]]:
        """Read a list to its end, page by page."""
        query = f"{path}?updated_since={since}" + (f"&updated_until={until}" if until else "")
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            status, media_type, page = await self.ask("GET", query + cursor)
            assert (status, media_type) == (200, "application/json"), page
            assert len(page["data"]) <= PAGE_MAX_ROWS
            rows += page["data"]
            if page["next_cursor"] is None:
                return rows
            cursor = f"&cursor={quote(page['next_cursor'], safe='')}"


@pytest.fixture
async def plain(partner_urls: Any) -> AsyncIterator[Plain]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SETTLE_LIMIT_S)) as session:
        yield Plain(partner_urls, session)


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "product/holds/{new}", None, "hold_not_found"),
        ("POST", "product/holds/{new}/commit", {"revision": 1}, "hold_not_found"),
        ("GET", "payment/payments/{new}", None, "payment_not_found"),
        ("POST", "payment/refunds", REFUND_OF_NOTHING, "payment_not_found"),
        ("GET", "payment/refunds/{new}", None, "refund_not_found"),
        ("GET", "user/customers/no-{new}", None, "customer_not_found"),
    ],
)
async def test_what_is_not_there_is_a_problem_with_its_code(
    plain: Any, method: str, path: str, body: Any, code: str
) -> None:
    """A bare 404 may have been said by anything that stands in between, and is nobody's word."""
    status, media_type, answer = await plain.ask(method, path, body)
    assert (status, media_type, answer["code"]) == (404, "application/problem+json", code)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "product/products?currency=EUR", None),
        ("GET", "product/products?sku=a", None),
        ("PUT", "product/holds/{new}", {}),
        ("PUT", "product/holds/{new}", b"no JSON"),
        ("PUT", "product/holds/{new}", {"revision": 1, "expires_at": "soon", "lines": []}),
        ("POST", "product/holds/{new}/commit", {}),
        ("POST", "product/holds/{new}/commit", b"\xff"),
        ("POST", "payment/payments", {}),
        ("POST", "payment/payments", BAD_AMOUNT),
        ("POST", "payment/payments", b"[" * 10_000),
        ("POST", "payment/refunds", {}),
        ("POST", "payment/refunds", b""),
        ("GET", "product/holds", None),
        ("GET", "payment/payments", None),
        ("GET", "payment/refunds", None),
        ("GET", "product/holds?updated_since=yesterday", None),
        ("GET", f"payment/payments?{SINCE}&updated_until=2026-01-01", None),
        ("GET", f"payment/refunds?{SINCE}&cursor=%00", None),
    ],
)
async def test_what_breaks_the_shape_of_a_request_is_422_invalid_request(
    plain: Any, method: str, path: str, body: Any
) -> None:
    status, media_type, answer = await plain.ask(method, path, body)
    assert (status, media_type, answer["code"]) == (422, "application/problem+json", "invalid_request")


# Lists by the time of the last change


async def _charges(partners: Any, count: int) -> list[str]:
    charges = [_charge(partners, amount=Money(1, "EUR")) for _ in range(count)]
    for at in range(0, count, 50):
        await asyncio.gather(*(partners.payment.perform(_new_id(), charge) for charge in charges[at : at + 50]))
    return [charge.payment_id for charge in charges]


async def _refunds(partners: Any, count: int) -> list[str]:
    charge = _charge(partners)
    await partners.payment.perform(_new_id(), charge)
    refunds = [
        RefundPayment(refund_id=_new_id(), payment_id=charge.payment_id, amount=Money(1, "EUR"), reason="x")
        for _ in range(count)
    ]
    for at in range(0, count, 50):
        await asyncio.gather(*(partners.payment.perform(_new_id(), refund) for refund in refunds[at : at + 50]))
    return [refund.refund_id for refund in refunds]


async def _holds(partners: Any, count: int) -> list[str]:
    orders = [_new_id() for _ in range(count)]
    for at in range(0, count, 50):
        await asyncio.gather(*(partners.product.perform(order, ReleaseHold()) for order in orders[at : at + 50]))
    return orders


LISTS = [
    ("payment/payments", "payment_id", _charges),
    ("payment/refunds", "refund_id", _refunds),
    ("product/holds", "order_id", _holds),
]


@pytest.mark.parametrize(("path", "key", "make"), LISTS)
async def test_a_list_shows_each_change_since_then_once_the_newest_last_in_pages_of_200(
    plain: Any, partners: Any, path: str, key: str, make: Any
) -> None:
    since = _text(datetime.now(UTC) - timedelta(minutes=1))
    made = set(await make(partners, PAGE_MAX_ROWS + 5))
    rows = await plain.rows(path, since)
    assert made <= {row[key] for row in rows}
    assert len(rows) == len({row[key] for row in rows})
    times = [datetime.fromisoformat(row["updated_at"]) for row in rows]
    assert times == sorted(times)


@pytest.mark.parametrize(("path", "key", "make"), LISTS)
async def test_a_list_begins_with_updated_since_and_ends_before_updated_until(
    plain: Any, partners: Any, path: str, key: str, make: Any
) -> None:
    since = _text(datetime.now(UTC) - timedelta(minutes=1))
    (made,) = await make(partners, 1)
    row = next(row for row in await plain.rows(path, since) if row[key] == made)
    at = quote(row["updated_at"], safe="")
    assert made in {row[key] for row in await plain.rows(path, at)}
    assert made not in {row[key] for row in await plain.rows(path, since, at)}
    after = quote((datetime.fromisoformat(row["updated_at"]) + timedelta(milliseconds=1)).isoformat(), safe="")
    assert made in {row[key] for row in await plain.rows(path, since, after)}
    assert await plain.rows(path, after, at) == []


async def test_what_changes_again_moves_to_the_end_of_its_list(plain: Any, partners: Any) -> None:
    since = _text(datetime.now(UTC) - timedelta(minutes=1))
    first, second = _new_id(), _new_id()
    for order in (first, second):
        await partners.product.perform(order, _hold(partners.sku))
    await partners.product.perform(first, CommitHold(1))
    rows = [row for row in await plain.rows("product/holds", since) if row["order_id"] in (first, second)]
    assert [(row["order_id"], row["state"]) for row in rows] == [(second, "held"), (first, "committed")]
    for order in (first, second):
        await partners.product.perform(order, ReleaseHold())


async def test_a_listed_payment_is_the_payment_and_says_what_was_given_back(plain: Any, partners: Any) -> None:
    since = _text(datetime.now(UTC) - timedelta(minutes=1))
    charge = _charge(partners)
    await partners.payment.perform(_new_id(), charge)
    refund = RefundPayment(refund_id=_new_id(), payment_id=charge.payment_id, amount=Money(25, "EUR"), reason="x")
    await partners.payment.perform(_new_id(), refund)
    (payment,) = [row for row in await plain.rows("payment/payments", since) if row["payment_id"] == charge.payment_id]
    assert (payment["status"], payment["amount"]) == ("confirmed", {"amount": 7125, "currency": "EUR"})
    assert payment["refunded"] == {"amount": 25, "currency": "EUR"}
    assert (await plain.ask("GET", f"payment/payments/{charge.payment_id}"))[2] == payment
    (given_back,) = [row for row in await plain.rows("payment/refunds", since) if row["refund_id"] == refund.refund_id]
    assert (await plain.ask("GET", f"payment/refunds/{refund.refund_id}"))[2] == given_back
