"""A little world around one order: partners that do and time out, answer twice, late or never, and a clock of its own.

Everything may happen in any order; each decision is checked as it is made, and the books of the partners at the end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from domain.calls import (
    Call,
    Charge,
    CommitHold,
    CustomerFetched,
    FetchCustomer,
    FetchProducts,
    Hold,
    NotSent,
    Outcome,
    Partner,
    ProductsFetched,
    RefundPayment,
    ReleaseHold,
    Request,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.commands import (
    AddItem,
    ApplyDiscount,
    AskAgain,
    Body,
    CallAnswered,
    Cancel,
    ChangeQuantity,
    Deliver,
    HoldLost,
    Pay,
    RemoveDiscount,
    RemoveItem,
    RetryNow,
    Ship,
    SkipToCompensation,
    Wake,
)
from domain.errors import Refused
from domain.order import CancelReason, Order, Status
from domain.shipments import ShipmentLine
from domain.totals_and_statuses import has_mismatch
from sagas.decide import deadline, decide, resume
from sagas.decision import OrderRules
from tests.unit.sagas.builders import ASKING, CREATE, CUSTOMER, FREE, INK, LOOKUPS, NOW, PEN, message
from tests.unit.sagas.invariants import check_decision
from tests.unit.sagas.partners import Bank, Stock

LATE_S = (
    5.0,
    50.0,
    50.0,
    3600.0,
    10_000.0,
)  # some are even later than PAYMENT_SETTLE_S allows for: the watch sees them


class World:
    """Everything that may happen to one order, one thing at a time; checks the laws of each decision as it goes."""

    def __init__(self, *, cached: bool, units: int = 20) -> None:
        self.now = NOW
        self.rules = OrderRules()
        self.lookups = LOOKUPS if cached else ASKING
        self.stock = Stock(
            {"pen": units, "ink": units, "free": units}, {product.sku: product for product in (PEN, INK, FREE)}
        )
        self.bank = Bank()
        self.calls: list[Call] = []
        self.late: list[tuple[datetime, Request, int]] = []
        self.answers: list[CallAnswered] = []
        self.delivered: list[Body] = []
        self.uses: list[str] = []
        self.last_status: str | None = None
        self.order: Order | None = None
        self.says(replace(CREATE, discount_codes=("TEN",)))

    @property
    def is_at_rest(self) -> bool:
        return self.order is not None and self.order.is_closed

    def says(self, body: Body, *, outdated: bool = False) -> None:
        """Decide on a message and take the decision for committed; a refusal is an answer too."""
        letter = message(body, lookups=replace(self.lookups, is_outdated=outdated))
        try:
            decision = decide(self.order, letter, self.now, self.rules)
        except Refused:
            return
        assert decide(self.order, letter, self.now, self.rules) == decision, "deciding twice is the same"
        self.last_status = check_decision(self.order, decision, self.last_status)
        if decision.order is not None:
            self.order = decision.order
        self.calls += decision.calls
        self.uses += [use.code for use in decision.promotion_uses]
        for code in decision.releases:
            self.uses.remove(code)

    # What may happen.

    def act(self, action: str, pick: int, mood: int) -> None:
        """Let one thing happen; ``pick`` chooses which, ``mood`` how."""
        match action:
            case "answer":
                self.do_answer(pick)
            case "outdated":
                self.do_answer(pick, outdated=True)
            case "repeat":
                self.do_repeat(pick)
            case "event":
                self.do_event(pick)
            case "decided":
                self.do_decided(mood)
            case "time":
                self.do_time(pick)
            case "wake":
                self.do_wake()
            case "due":
                self.do_due()
            case "ask_again":
                self.says(AskAgain(list(Partner)[pick % len(Partner)]))
            case "restart":
                self.do_restart()
            case "hold_lost":
                self.do_hold_lost()
            case "price":
                self.do_price(pick)
            case "scarce":
                self.do_scarce(pick)
            case "calm":
                self.do_calm(pick)
            case "pay":
                self.do_pay(pick, mood)
            case "edit":
                self.do_edit(pick, mood)
            case "staff":
                self.do_staff(pick, mood)
            case "cancel":
                self.do_cancel(pick)
            case "call":
                self.do_call(pick, mood)
            case _:
                raise AssertionError(f"nothing is called {action}")

    def do_call(self, pick: int, mood: int) -> None:
        """A call that is out meets its fate: answered, failed before or after its effect, or late."""
        if not self.calls:
            return
        call = self.calls.pop(pick % len(self.calls))
        fate = pick % 8
        if fate == 5:
            self._answered(call, NotSent("nothing left us", circuit_open=bool(mood % 2)))
        elif fate == 6:
            self.perform(call.request, mood)
            self._answered(call, Unknown("timeout"))
        elif fate == 7:
            self.late.append((self.now + timedelta(seconds=LATE_S[mood]), call.request, 0))
            self._answered(call, Unknown("timeout"))
        elif fate == 4:
            self.perform(call.request, mood)  # and nobody is told
        else:
            self._answered(call, self.perform(call.request, mood))

    def do_answer(self, pick: int, *, outdated: bool = False) -> None:
        if self.answers:
            answer = self.answers.pop(pick % len(self.answers))
            self.delivered.append(answer)
            self.says(answer, outdated=outdated)

    def do_repeat(self, pick: int) -> None:
        if self.delivered:
            self.says(self.delivered[pick % len(self.delivered)])

    def do_event(self, pick: int) -> None:
        if self.bank.events:
            self.says(self.bank.events[pick % len(self.bank.events)])

    def do_decided(self, mood: int) -> None:
        self._settle_charges("rejected" if mood == 1 else "confirmed")

    def do_time(self, pick: int) -> None:
        self.pass_time((1, 2, 5, 9, 30, 46, 61, 61, 120, 300, 1000, 1801, 90_000)[pick])

    def do_wake(self) -> None:
        self.says(Wake())

    def do_due(self) -> None:
        due = deadline(self.order) if self.order else None
        if due is not None and due > self.now:
            self.pass_time((due - self.now).total_seconds())
        self.says(Wake())

    def do_restart(self) -> None:
        """The process died: its calls may or may not have left, what was answered to it is lost."""
        assert self.order is not None
        self.answers.clear()
        self.calls = [*resume(self.order, self.now, self.rules)]

    def do_hold_lost(self) -> None:
        if self.stock.state == "held":
            self.stock.free("expired")
        self.says(HoldLost("pen"))

    def do_price(self, pick: int) -> None:
        product = self.stock.prices["pen"]
        self.stock.prices["pen"] = replace(product, unit_price=(100, 700, 1000, 1300)[pick % 4], sellable=pick != 1)

    def do_scarce(self, pick: int) -> None:
        self.stock.available["pen"] = pick % 4

    def do_calm(self, pick: int) -> None:
        """A call goes well and its answer comes at once."""
        if self.calls:
            call = self.calls.pop(0)
            self.says(CallAnswered(call.key, call.attempt, self.perform(call.request, 0)))
        else:
            self.do_answer(pick)

    def do_pay(self, pick: int, mood: int) -> None:
        self.says(Pay("card", "tok") if pick % 3 else Pay("card", None, 500 + mood))

    def do_edit(self, pick: int, mood: int) -> None:
        assert self.order is not None
        lines = self.order.lines
        line = lines[mood % len(lines)]
        wishes: tuple[Body, ...] = (
            AddItem(("pen", "ink", "free")[mood % 3], 1 + mood),
            ChangeQuantity(line.id, 1 + mood),
            RemoveItem(line.id),
            ApplyDiscount("NOSHIP"),
            RemoveDiscount("TEN"),
        )
        self.says(wishes[pick % len(wishes)])

    def do_staff(self, pick: int, mood: int) -> None:
        assert self.order is not None
        line = self.order.lines[mood % len(self.order.lines)]
        wishes: tuple[Body, ...] = (
            Ship(carrier="c", tracking_number="t"),
            Ship(carrier="c", tracking_number="t", lines=(ShipmentLine(line.id, 1),)),
            Deliver(),
            RetryNow(),
        )
        self.says(wishes[pick % len(wishes)])

    def do_cancel(self, pick: int) -> None:
        self.says(Cancel(CancelReason.CUSTOMER) if pick % 2 else SkipToCompensation("enough"))

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self._late_arrivals()
        self.stock.tick(self.now)

    def perform(self, request: Request, mood: int) -> Outcome:
        """Do what is asked and give the answer to it."""
        match request:
            case FetchProducts():
                return ProductsFetched(tuple(self.stock.prices[sku] for sku in request.skus))
            case FetchCustomer():
                return CustomerFetched(CUSTOMER)
            case Hold():
                return self.stock.hold(request)
            case CommitHold():
                return self.stock.commit(request)
            case ReleaseHold():
                return self.stock.release()
            case Charge():
                return self.bank.charge(request, mood)
            case Verify():
                return self.bank.verify(request.payment_id)
            case RefundPayment():
                return self.bank.give_back(request, mood)
            case VerifyRefund():
                return self.bank.verify_refund(request.refund_id)

    def settle(self, *, pays: bool) -> None:
        """The faults stop: every call is answered, every deadline rings, staff look at what needs attention.

        ``pays``: a customer whose order waits for money goes on to pay it.
        """
        for _ in range(600):
            self._settle_charges("confirmed")
            if self.calls:
                call = self.calls.pop(0)
                self._answered(call, self.perform(call.request, 0))
            elif self.answers:
                self.says(self.answers.pop(0))
            elif self._unheard() or (pays and self._pays()):
                continue
            elif not self._goes_on():
                self._late_arrivals(everything=True)
                return
        raise AssertionError("the order does not come to rest")

    def _goes_on(self) -> bool:
        """Nothing is under way: let the next deadline ring, or let somebody do what the order waits for."""
        order = self.order
        assert order is not None
        due = deadline(order)
        if due is not None:
            self.pass_time(max(0.0, (due - self.now).total_seconds()))
            self.says(Wake())
            return True
        if order.is_closed:
            return False
        version = order.version
        if order.attention and has_mismatch(order) and order.status is not Status.CANCELLING:
            self.says(SkipToCompensation("mismatched"))
        elif order.attention:
            self.says(RetryNow())
        elif order.status is Status.PREPARED:
            self.says(Ship(carrier="c", tracking_number="t"))
        else:
            self.says(Deliver())
        return self.order is not None and self.order.version != version

    def _pays(self) -> bool:
        before = self.order
        if before is not None and before.status is Status.VALIDATED:
            self.says(Pay("card", "tok"))
        return self.order is not before

    def _unheard(self) -> bool:
        """Deliver every event of the bank that the order has not taken in; True when one changed something."""
        before = self.order
        for event in tuple(self.bank.events):
            self.says(event)
        return self.order is not before

    def _answered(self, call: Call, outcome: Outcome) -> None:
        self.answers.append(CallAnswered(call.key, call.attempt, outcome))

    def _settle_charges(self, status: str) -> None:
        for payment_id, charged in self.bank.charges.items():
            if charged.status == "processing":
                self.bank.settle(payment_id, status)

    def _late_arrivals(self, *, everything: bool = False) -> None:
        arrived = [each for each in self.late if everything or each[0] <= self.now]
        self.late = [each for each in self.late if each not in arrived]
        for _, request, mood in arrived:
            self.perform(request, mood)
