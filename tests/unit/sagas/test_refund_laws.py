"""Refunds, rejections, retries, staff's verbs and contradicting words in any order: money is given back exactly once.

A bank that refuses, gives back less, loses answers and contradicts itself; staff who see its books, and pay out of a till of
their own what it will not give back. At the end the order is cancelled, and nobody holds a cent that is not theirs.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.attention import AttentionReason
from domain.calls import (
    Call,
    Charge,
    Declined,
    Hold,
    HoldAnswered,
    NotFound,
    Outcome,
    RefundAnswered,
    RefundPayment,
    ReleaseHold,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.commands import (
    ActorType,
    AddItem,
    Body,
    CallAnswered,
    Cancel,
    Pay,
    PaymentConfirmed,
    PaymentRejected,
    Record,
    RetryNow,
    Wake,
)
from domain.errors import Refused
from domain.money import Money
from domain.order import CancelReason, Order, Status
from domain.payments import Payment, RefundStatus, TransactionType
from domain.totals_and_statuses import IN_FLIGHT, TOOK_MONEY
from sagas import refunding
from sagas.decide import deadline, decide
from sagas.decision import OrderRules
from tests.unit.sagas.builders import CREATE, FREE, INK, LOOKUPS, NOW, PEN, message
from tests.unit.sagas.invariants import check_decision
from tests.unit.sagas.partners import Bank

CHEAP = replace(LOOKUPS, products=(replace(PEN, unit_price=100), INK, FREE))
STEPS_MAX = 900


class FickleBank(Bank):
    """PaymentSvc that gives back less than it was asked for (mood 3), or refuses what it has not seen (mood 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, int] = {}

    def give_back(self, asked: RefundPayment, mood: int) -> Outcome:
        if asked.refund_id not in self.refunds:
            charged = self.charges[asked.payment_id]
            if mood == 4 or charged.refunded + asked.amount.amount > charged.amount.amount:
                return Declined(409, "exceeds_captured")
            given = (asked.amount.amount + 1) // 2 if mood == 3 else asked.amount.amount
            status = {1: "rejected", 2: "processing"}.get(mood, "refunded")
            self.refunds[asked.refund_id] = (status, asked)
            self.given[asked.refund_id] = given
            if status == "refunded":
                charged.refunded += given
        assert self.refunds[asked.refund_id][1] == asked, "a refund made again must be the same"
        return self.verify_refund(asked.refund_id)

    def verify_refund(self, refund_id: str) -> Outcome:
        if refund_id not in self.refunds:
            return NotFound()
        status, asked = self.refunds[refund_id]
        amount = Money(self.given[refund_id], asked.amount.currency)
        return RefundAnswered(refund_id=refund_id, status=status, amount=amount)

    def settle_refund(self, refund_id: str, status: str) -> None:
        was, asked = self.refunds[refund_id]
        if was == "processing":
            self.refunds[refund_id] = (status, asked)
            if status == "refunded":
                self.charges[asked.payment_id].refunded += self.given[refund_id]


class MoneyWorld:
    """One order, its bank, and staff with a till; each decision is held against the laws as it is made."""

    def __init__(self, *, events_confirmed: bool) -> None:
        self.now = NOW
        self.rules = OrderRules(payment_events_confirmed=events_confirmed, payment_attempts_max=4)
        self.bank = FickleBank()
        self.till: dict[str, int] = {}
        self.calls: list[Call] = []
        self.lookups = LOOKUPS
        self.told: str | None = None
        self.recorded = 0
        decision = decide(None, message(CREATE, lookups=LOOKUPS), NOW, self.rules)
        self.told = check_decision(None, decision, None)
        assert decision.order is not None
        self.order: Order = decision.order
        self.calls += decision.calls

    def says(self, body: Body, by: ActorType = ActorType.CLIENT) -> bool:
        try:
            decision = decide(self.order, message(body, lookups=self.lookups, by=by), self.now, self.rules)
        except Refused:
            return False
        self.told = check_decision(self.order, decision, self.told)
        if decision.order is not None:
            self.order = decision.order
        self.calls += decision.calls
        order = self.order
        if order.status is Status.CANCELLING:
            assert order.steps or order.attention, "it is being cancelled, and nothing will come of it"
        return True

    # What may happen.

    def act(self, action: str, pick: int, mood: int) -> None:
        match action:
            case "call":
                self.do_call(pick, mood)
            case "due":
                self.do_due()
            case "pay":
                self.says(Pay("card", "tok", None if mood % 2 else 1400))
            case "cheap":
                self.lookups = CHEAP
                self.says(AddItem("free", 1))
            case "event" if self.bank.events:
                self.says(self.bank.events[pick % len(self.bank.events)], ActorType.PARTNER)
            case "decided":
                self.decide_charges("rejected" if mood == 1 else "confirmed")
            case "contradict":
                self.do_contradict(mood)
            case "retry":
                self.says(RetryNow(), ActorType.STAFF)
            case "record":
                self.do_record(pick, mood)
            case "cancel" if mood == 0:
                self.says(Cancel(CancelReason.CUSTOMER))

    def do_call(self, pick: int, mood: int) -> None:
        """A call is answered, or done and lost, or lost on its way; the repeat of one that was done may be refused."""
        if not self.calls:
            return
        call = self.calls.pop(pick % len(self.calls))
        if pick % 5 == 3:
            self.perform(call, mood)
            self.answer(call, Unknown("timeout"))
        elif pick % 5 == 4 and (mood > 2 or not call.may_have_happened):
            self.answer(call, Unknown("timeout"))
        elif mood == 4 and call.may_have_happened and isinstance(call.request, RefundPayment | Charge):
            self.answer(call, Declined(422, "invalid_request"))
        else:
            self.answer(call, self.perform(call, mood))

    def do_due(self) -> None:
        due = deadline(self.order)
        if due is not None:
            self.now = max(self.now, due)
            self.says(Wake(), ActorType.TIMER)

    def do_contradict(self, mood: int) -> None:
        """A word on a payment that was taken already says something else."""
        for payment in self.order.payments:
            if payment.status in TOOK_MONEY:
                if mood % 2:
                    self.says(PaymentRejected(payment.payment_id, "fraud_suspected"), ActorType.PARTNER)
                else:
                    other = Money(payment.amount + 1, payment.currency)
                    self.says(PaymentConfirmed(payment_id=payment.payment_id, amount=other), ActorType.PARTNER)
                return

    def do_record(self, pick: int, mood: int) -> None:
        """Staff look into a payment or refund, and say what is so; mood 4: of a payment, that it was not made, wrongly."""
        payments = self.order.payments
        if not payments:
            return
        payment = payments[pick % len(payments)]
        if payment.status in IN_FLIGHT:
            if mood == 4:
                self.record(payment.payment_id, "rejected", 0)
            else:
                self.record_truth(payment)
        for refund in payment.refunds:
            if refund.status is RefundStatus.PROCESSING:
                self.record_refund_truth(refund.refund_id)
            elif refunding.waits_for_staff(self.order, refund) and refund.status is RefundStatus.REJECTED:
                self.pay_out(payment, refund.refund_id, refund.amount if mood else 1 + refund.amount // 2)

    def record(self, subject: str, outcome: str, amount: int) -> bool:
        self.recorded += 1
        word = Record(subject=subject, outcome=outcome, amount=amount, reference=f"r{self.recorded}", note="n")
        return self.says(word, ActorType.STAFF)

    def record_truth(self, payment: Payment) -> None:
        charged = self.bank.charges.get(payment.payment_id)
        if charged is not None and charged.status == "processing":
            self.bank.settle(payment.payment_id, "confirmed")
        if charged is None or charged.status == "rejected":
            self.record(payment.payment_id, "rejected", 0)
        else:
            self.record(payment.payment_id, "confirmed", charged.amount.amount)

    def record_refund_truth(self, refund_id: str) -> None:
        if refund_id in self.bank.refunds:
            self.bank.settle_refund(refund_id, "refunded")
            if self.bank.refunds[refund_id][0] == "refunded":
                self.record(refund_id, "refunded", self.bank.given[refund_id])

    def pay_out(self, payment: Payment, refund_id: str, amount: int) -> None:
        if self.record(refund_id, "refunded", amount):
            self.till[payment.currency] = self.till.get(payment.currency, 0) + amount

    def perform(self, call: Call, mood: int) -> Outcome:
        match call.request:
            case Hold():
                return HoldAnswered(call.request.revision, "held")
            case ReleaseHold():
                return HoldAnswered(1, "released")
            case Charge():
                return self.bank.charge(call.request, min(mood, 2))
            case Verify():
                return self.bank.verify(call.request.payment_id)
            case RefundPayment():
                return self.bank.give_back(call.request, mood)
            case VerifyRefund():
                return self.bank.verify_refund(call.request.refund_id)
            case _:
                return HoldAnswered(1, "committed")

    def answer(self, call: Call, outcome: Outcome) -> None:
        self.says(CallAnswered(call.key, call.attempt, outcome), ActorType.PARTNER)

    def decide_charges(self, status: str) -> None:
        for payment_id, charged in self.bank.charges.items():
            if charged.status == "processing":
                self.bank.settle(payment_id, status)

    # The end.

    def settle(self) -> None:
        """The order is cancelled, everything is answered, and staff end what needs attention by the verbs there are."""
        self.says(Cancel(CancelReason.STAFF), ActorType.STAFF)
        for _ in range(STEPS_MAX):
            if self.calls:
                call = self.calls.pop(0)
                self.answer(call, self.perform(call, 0))
            elif self.order.attention:
                self.attend()
            elif deadline(self.order) is not None:
                self.decide_charges("confirmed")
                for refund_id in self.bank.refunds:
                    self.bank.settle_refund(refund_id, "refunded")
                self.do_due()
            else:
                return
        raise AssertionError(f"it does not come to rest: {self.order.status} {self.order.attention} {self.order.steps}")

    def attend(self) -> None:
        """What the operators' table says for each reason."""
        before = self.order
        note = before.attention[0]
        subject = note.key.partition(":")[2]
        payment = next((each for each in before.payments if each.payment_id == subject), None)
        found = refunding.find(before, subject)
        match note.reason:
            case AttentionReason.PAYMENT_UNDECIDED if payment is not None and payment.status in IN_FLIGHT:
                self.record_truth(payment)
            case AttentionReason.PAYMENT_UNDECIDED:
                self.record(subject, "rejected", 0)
            case AttentionReason.PAYMENT_CONTRADICTED if payment is not None and payment.status in IN_FLIGHT:
                self.record_truth(payment)
            case AttentionReason.PAYMENT_CONTRADICTED if payment is not None:
                self.record(subject, "confirmed", payment.amount)
            case AttentionReason.REFUND_CONTRADICTED if found is not None:
                self.record(subject, "refunded", found[1].amount)
            case AttentionReason.REFUND_UNDECIDED if subject in self.bank.refunds:
                self.record_refund_truth(subject)
            case AttentionReason.REFUND_REJECTED if found is not None and found[1].amount % 2:
                self.pay_out(found[0], subject, found[1].amount)
            case _:
                self.says(RetryNow(), ActorType.STAFF)
        if self.order is before:
            self.now += timedelta(seconds=1)
            self.do_due()


def money_of(order: Order) -> dict[str, int]:
    """What the ledger says that we hold, by currency."""
    held: dict[str, int] = {}
    for entry in order.ledger:
        sign = 1 if entry.type is TransactionType.CHARGE else -1
        held[entry.currency] = held.get(entry.currency, 0) + sign * entry.amount
    return {currency: amount for currency, amount in held.items() if amount}


ACTIONS = st.tuples(
    st.sampled_from(
        ["call"] * 12 + ["due"] * 5 + ["pay"] * 6 + ["cheap"] * 2 + ["event", "decided", "contradict", "retry"] * 2
        + ["record"] * 3 + ["cancel"] * 2
    ),
    st.integers(0, 12),
    st.integers(0, 4),
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(life=st.lists(ACTIONS, min_size=15, max_size=50), events_confirmed=st.booleans())
def test_money_is_given_back_exactly_once_and_staff_can_end_whatever_happened(
    life: list[tuple[str, int, int]], events_confirmed: bool
) -> None:
    world = MoneyWorld(events_confirmed=events_confirmed)
    for action, pick, mood in [("call", 0, 0), ("pay", 0, 0), ("call", 0, 0), *life]:
        world.act(action, pick, mood)
    world.settle()
    order = world.order
    assert (order.status, order.attention, order.is_closed) == (Status.CANCELLED, (), True)
    assert money_of(order) == {}, "the books of the order"
    kept = world.bank.kept()
    assert {currency: kept.get(currency, 0) - paid for currency, paid in world.till.items()} == dict.fromkeys(
        world.till, 0
    ), "what staff paid out is what the bank keeps"
    assert world.till or kept == {}
    done = [entry.refund_id for entry in order.ledger if entry.refund_id is not None]
    assert len(done) == len(set(done))
