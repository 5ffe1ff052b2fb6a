"""Something in between answers in a partner's place: at every operation, whether the partner did it or not, it is nobody's word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.calls import (
    Call,
    Charge,
    CommitHold,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldAnswered,
    HoldLine,
    NotSent,
    Outcome,
    Partner,
    PaymentAnswered,
    RefundAnswered,
    RefundPayment,
    ReleaseHold,
    Request,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.money import Money
from partners.circuit_breaker import BreakerState
from partners.http import PartnerHttp
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.resilient_client import ResilienceLimits, ResilientClient
from partners.user import UserClient
from tests.integration.local_sandbox.process import SandboxProcess

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
PRICE = Money(100, "EUR")
CHARGE = Charge(payment_id="p", customer_id="c-1001", amount=PRICE, method="card", token=None)
REFUND = RefundPayment(refund_id="r", payment_id="p", amount=PRICE, reason="cancelled")
HOLD = Hold(1, datetime.now(UTC) + timedelta(hours=1), (HoldLine("sku-tea", 1),))
PAGES: list[dict[str, Any]] = [
    *(
        {"status": status, "content": content}
        for status in (200, 400, 401, 403, 404, 410, 502)
        for content in ("html", "json")
    ),
    *({"status": status, "content": "problem"} for status in (404, 409, 422, 500)),
    *({"status": status, "content": "empty"} for status in (200, 202, 204, 404, 409, 503)),
    {"content": "redirect"},
    {"content": "redirect", "status": 307},
    {"status": 409, "content": "problem", "code": "payment_not_found"},
]
# operation of the sandbox, the request, and what has to be there before
OPERATIONS: list[tuple[str, Partner, Request, list[Request]]] = [
    ("list_products", Partner.PRODUCT, FetchProducts(("sku-tea",), "EUR"), []),
    ("put_hold", Partner.PRODUCT, HOLD, []),
    ("commit_hold", Partner.PRODUCT, CommitHold(1), [HOLD]),
    ("delete_hold", Partner.PRODUCT, ReleaseHold(), [HOLD]),
    ("charge", Partner.PAYMENT, CHARGE, []),
    ("get_payment", Partner.PAYMENT, Verify("p"), [CHARGE]),
    ("refund", Partner.PAYMENT, REFUND, [CHARGE]),
    ("get_refund", Partner.PAYMENT, VerifyRefund("r"), [CHARGE, REFUND]),
    ("get_customer", Partner.USER, FetchCustomer("c-1001"), []),
]


@dataclass
class Clients:
    """One client for each partner of the sandbox."""

    of: dict[Partner, Any]

    async def perform(self, partner: Partner, request: Request) -> Outcome:
        outcome: Outcome = await self.of[partner].perform(ORDER, request)
        return outcome

    def bulkhead(self, partner: Partner, **limits: Any) -> ResilientClient:
        return ResilientClient(partner, self.of[partner], ResilienceLimits(backoff_first_s=0.001, **limits))


@pytest.fixture
async def clients(sandbox: SandboxProcess) -> AsyncIterator[Clients]:
    connections = {
        partner: PartnerHttp(f"{sandbox.url}/{partner.value}", call_timeout_s=5.0, connections_max=8)
        for partner in Partner
    }
    kinds = {Partner.PRODUCT: ProductClient, Partner.PAYMENT: PaymentClient, Partner.USER: UserClient}
    yield Clients({partner: kinds[partner](http) for partner, http in connections.items()})
    for http in connections.values():
        await http.close()


def _call(request: Request) -> Call:
    return Call(order_id=ORDER, key="step:1", attempt=1, request=request)


@pytest.mark.parametrize(("operation", "partner", "request_", "before"), OPERATIONS)
async def test_a_page_at_any_operation_is_unknown_whatever_it_is(
    caller: Any, clients: Clients, operation: str, partner: Partner, request_: Request, before: list[Request]
) -> None:
    """Orders were cancelled as out of stock and second charges made because a proxy had answered 404 and 409."""
    for needed in before:
        assert not isinstance(await clients.perform(partner, needed), Unknown | NotSent)
    expected = None
    for effect in ("page", "do_and_page"):
        for page in PAGES:
            await caller.put_knobs({"effect": effect, "operation": operation} | page)
            outcome = await clients.perform(partner, request_)
            assert type(outcome) is Unknown, (effect, page)
            status = page.get("status", 302)
            assert str(status) in outcome.detail
            assert outcome.credentials_refused == (status in (401, 403))
            hits = (await caller.ask("GET", "/sandbox/knobs"))[1]["knobs"][0]["hits"]
            assert hits == 1, (effect, page)
        await caller.put_knobs()
        outcome = await clients.perform(partner, request_)
        assert not isinstance(outcome, Unknown | NotSent)
        expected = expected or outcome
        if partner is Partner.PAYMENT:
            assert outcome == expected


async def test_a_charge_behind_a_page_may_have_been_done_or_not_and_is_not_repeated(
    caller: Any, clients: Clients
) -> None:
    bulkhead = clients.bulkhead(Partner.PAYMENT)
    for effect, status in (("page", 404), ("do_and_page", "confirmed")):
        await caller.put_knobs({"effect": effect, "operation": "charge"})
        answered = await bulkhead.call(_call(CHARGE))
        assert isinstance(answered.outcome, Unknown)
        assert not answered.may_have_happened
        found, payment = await caller.ask("GET", "/payment/payments/p")
        assert (payment["status"] if found == 200 else found) == status
    assert (await caller.ask("GET", "/sandbox/ledger?totals=1"))[1]["requests"]["charge"] == 2


async def test_a_refund_that_was_done_behind_a_page_is_repeated_under_its_id_and_told_so(
    caller: Any, clients: Clients
) -> None:
    await clients.perform(Partner.PAYMENT, CHARGE)
    await caller.put_knobs({"effect": "do_and_page", "operation": "refund", "times": 1})
    answered = await clients.bulkhead(Partner.PAYMENT).call(_call(REFUND))
    assert answered.outcome == RefundAnswered(refund_id="r", status="refunded", amount=PRICE)
    assert answered.may_have_happened
    totals = (await caller.ask("GET", "/sandbox/ledger?totals=1"))[1]["totals"]
    assert totals == {"EUR": {"charged": 100, "refunded": 100}}


async def test_a_hold_behind_a_page_is_repeated_with_the_same_revision(caller: Any, clients: Clients) -> None:
    await caller.put_knobs(
        {"effect": "do_and_page", "operation": "put_hold", "status": 409, "content": "problem", "times": 2}
    )
    answered = await clients.bulkhead(Partner.PRODUCT).call(_call(HOLD))
    assert (answered.outcome, answered.may_have_happened) == (HoldAnswered(1, "held"), True)


async def test_pages_open_the_circuit_and_the_partners_own_word_closes_it(caller: Any, clients: Clients) -> None:
    bulkhead = clients.bulkhead(Partner.PAYMENT, attempts_max=1, breaker_failures_max=5, breaker_reset_s=0.0)
    await clients.perform(Partner.PAYMENT, CHARGE)
    await caller.put_knobs({"effect": "page", "operation": "get_payment", "status": 403})
    for _ in range(5):
        assert isinstance((await bulkhead.call(_call(Verify("p")))).outcome, Unknown)
    state = bulkhead.state()
    assert (state.breaker, state.credentials_refused) == (BreakerState.HALF_OPEN, 5)
    await caller.put_knobs()
    assert isinstance((await bulkhead.call(_call(Verify("p")))).outcome, PaymentAnswered)
    assert bulkhead.state().breaker is BreakerState.CLOSED
