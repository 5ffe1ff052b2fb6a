"""What tests of the state machine are made of: messages, and orders brought to a status by the messages of a usual life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec.structs import replace

from domain.calls import (
    Call,
    Charge,
    CustomerFetched,
    FetchCustomer,
    FetchProducts,
    HoldAnswered,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    RefundPayment,
)
from domain.commands import (
    Actor,
    ActorType,
    Body,
    CallAnswered,
    Cancel,
    CreateOrder,
    Deliver,
    Lookups,
    Message,
    NewLine,
    Pay,
    PaymentConfirmed,
    Ship,
    Wake,
)
from domain.errors import Refused
from domain.money import Money
from domain.order import Address, CancelReason, Customer, Order, Product, Status
from domain.promotions import Promotion, PromotionKind
from sagas.decide import deadline, decide
from sagas.decision import Decision, OrderRules

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
RULES = OrderRules()
ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
ADDRESS = Address(address_id="home", line1="Calle 1", line2=None, city="Lugo", postal_code="27001", country="ES")
CUSTOMER = Customer(
    customer_id="c-1", name="Ana", email="ana@example.test", status="active", version=1, addresses=(ADDRESS,)
)
PEN = Product(
    sku="pen",
    name="Pen",
    unit_price=1000,
    currency="EUR",
    tax_rate="0.2100",
    available=9,
    sellable=True,
    version=1,
)
INK = replace(PEN, sku="ink", name="Ink", unit_price=333, tax_rate="0.1000")
FREE = replace(PEN, sku="free", name="Sample", unit_price=0)
TEN_PERCENT = Promotion(code="TEN", kind=PromotionKind.PERCENTAGE, fraction="0.1000", combinable=True)
NO_SHIPPING = Promotion(code="NOSHIP", kind=PromotionKind.FREE_SHIPPING, combinable=True)
FIVE_OFF = Promotion(code="FIVE", kind=PromotionKind.FIXED_AMOUNT, amount=500, currency="EUR")
PROMOTIONS = (TEN_PERCENT, NO_SHIPPING, FIVE_OFF)
LOOKUPS = Lookups(products=(PEN, INK, FREE), customer=CUSTOMER, promotions=PROMOTIONS, number=42)
ASKING = Lookups(promotions=PROMOTIONS, number=42)
CREATE = CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("pen", 2), NewLine("ink", 3)), order_id=ORDER_ID)
_ids = count(1)


def message(body: Body, *, lookups: Lookups = LOOKUPS, by: ActorType = ActorType.CLIENT) -> Message:
    return Message(id=f"m-{next(_ids)}", body=body, actor=Actor(by, "somebody"), lookups=lookups)


class Story:
    """An order and what happens to it: each message is decided on and its decision is the state at once.

    ``calls`` are those that were made, are not answered yet, and whose step is still there; ``decided`` the last decision.
    """

    def __init__(self, create: CreateOrder = CREATE, *, lookups: Lookups = LOOKUPS, rules: OrderRules = RULES) -> None:
        self.now = NOW
        self.lookups = lookups
        self.rules = rules
        self.calls: list[Call] = []
        self.decided = decide(None, message(create, lookups=lookups), self.now, rules)
        assert self.decided.order is not None
        self.order: Order = self.decided.order
        self.calls += self.decided.calls

    def says(self, body: Body, *, by: ActorType = ActorType.CLIENT, lookups: Lookups | None = None) -> Decision:
        self.decided = decide(self.order, message(body, lookups=lookups or self.lookups, by=by), self.now, self.rules)
        self._follow(self.decided)
        return self.decided

    def refuses(self, body: Body) -> Refused:
        try:
            decide(self.order, message(body, lookups=self.lookups), self.now, self.rules)
        except Refused as refused:
            return refused
        raise AssertionError(f"{type(body).__name__} was not refused")

    def answer(self, outcome: Outcome, *, of: type | None = None, outdated: bool = False) -> Decision:
        """Answer the oldest call out, or the oldest of a kind of request; what follows from it may be outdated."""
        call = next(each for each in self.calls if of is None or isinstance(each.request, of))
        self.calls.remove(call)
        lookups = replace(self.lookups, is_outdated=outdated)
        return self.says(CallAnswered(call.key, call.attempt, outcome), by=ActorType.PARTNER, lookups=lookups)

    def wakes(self, *, after_s: float | None = None) -> Decision:
        """Wake the order when it asks for that, or after so many seconds."""
        due = deadline(self.order)
        if after_s is not None:
            self.now += timedelta(seconds=after_s)
        elif due is not None:
            self.now = max(self.now, due)
        return self.says(Wake(), by=ActorType.TIMER)

    def is_at(self, status: Status) -> bool:
        return self.order.status is status

    @property
    def requests(self) -> list[object]:
        return [call.request for call in self.calls]

    @property
    def types(self) -> list[str]:
        return [event.type.value for event in self.decided.events]

    @property
    def charge(self) -> Charge:
        return next(call.request for call in self.calls if isinstance(call.request, Charge))

    @property
    def give_back(self) -> RefundPayment:
        return next(call.request for call in self.calls if isinstance(call.request, RefundPayment))

    def fetched(self, *products: Product) -> Story:
        self.answer(ProductsFetched(products), of=FetchProducts)
        self.answer(CustomerFetched(CUSTOMER), of=FetchCustomer)
        return self

    def held(self) -> Story:
        self.answer(HoldAnswered(self.order.revision, "held"))
        return self

    def pays(self, amount: int | None = None) -> Story:
        self.says(Pay("card", "tok", amount))
        return self

    def confirmed(self) -> Story:
        asked = self.charge
        self.answer(PaymentAnswered(payment_id=asked.payment_id, status="confirmed", amount=asked.amount), of=Charge)
        return self

    def committed(self) -> Story:
        self.answer(HoldAnswered(self.order.hold_revision, "committed"))
        return self

    def refunded(self) -> Story:
        asked = self.give_back
        self.answer(RefundAnswered(refund_id=asked.refund_id, status="refunded", amount=asked.amount), of=RefundPayment)
        return self

    def released(self) -> Story:
        self.answer(HoldAnswered(self.order.hold_revision, "released"))
        return self

    def ships(self) -> Story:
        self.says(Ship(carrier="correos", tracking_number="T1"), by=ActorType.STAFF)
        return self

    def cancels(self) -> Story:
        self.says(Cancel(CancelReason.CUSTOMER, "changed my mind"))
        return self

    def _follow(self, decision: Decision) -> None:
        if decision.order is not None:
            assert decision.order.version == self.order.version + 1
            self.order = decision.order
        awaited = {step.key for step in self.order.steps}
        self.calls = [call for call in (*self.calls, *decision.calls) if call.key in awaited]


def validated(create: CreateOrder = CREATE) -> Story:
    return Story(create).held()


def prepared() -> Story:
    return validated().pays().confirmed().committed()


def at(status: Status) -> Story:
    """Give a story whose order is in that status."""
    match status:
        case Status.CREATED:
            return Story()
        case Status.VALIDATED:
            return validated()
        case Status.PAID:
            story = validated().pays()
            story.lookups = replace(LOOKUPS, number=0)
            return story.confirmed()
        case Status.CONFIRMED:
            return validated().pays().confirmed()
        case Status.PREPARED:
            return prepared()
        case Status.SHIPPED:
            return prepared().ships()
        case Status.DELIVERED:
            story = prepared().ships()
            story.says(Deliver(), by=ActorType.STAFF)
            return story
        case Status.CANCELLING:
            return validated().cancels()
        case Status.CANCELLED:
            return validated().cancels().released()


def answered(story: Story, status: str, code: str | None = None) -> PaymentAnswered:
    asked = story.order.payments[-1]
    return PaymentAnswered(
        payment_id=asked.payment_id, status=status, amount=Money(asked.amount, asked.currency), code=code
    )


def paid_event(story: Story, *, payment: int = 0, amount: Money | None = None) -> PaymentConfirmed:
    asked = story.order.payments[payment]
    return PaymentConfirmed(payment_id=asked.payment_id, amount=amount or Money(asked.amount, asked.currency))


def refund_said(story: Story, status: str) -> RefundAnswered:
    refund = story.order.payments[-1].refunds[-1]
    return RefundAnswered(refund_id=refund.refund_id, status=status, amount=Money(refund.amount, "EUR"))
