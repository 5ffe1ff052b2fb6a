"""Stage 2: what has to be known, what fails it, and what a hold's answer means."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.calls import (
    CustomerFetched,
    Declined,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldAnswered,
    HoldLine,
    NotFound,
    NotSent,
    Outcome,
    ProductsFetched,
    ReleaseHold,
    Shortage,
    Unknown,
)
from domain.commands import CallAnswered, ChangeQuantity, HoldLost, NewLine, Pay, PaymentRejected
from domain.order import CancelReason, Customer, HoldState, Product, Status, StepState
from domain.reference_data import ReferenceKind, ReferenceVersion
from domain.representation import totals
from tests.unit.sagas.builders import (
    ADDRESS,
    ASKING,
    CREATE,
    CUSTOMER,
    FREE,
    INK,
    LOOKUPS,
    NOW,
    PEN,
    RULES,
    Story,
    at,
    validated,
)


def test_without_copies_at_hand_products_and_customer_are_asked_for_side_by_side() -> None:
    story = Story(lookups=ASKING)
    assert story.requests == [FetchProducts(("pen", "ink"), "EUR"), FetchCustomer("c-1")]


@pytest.mark.parametrize("customer_first", [True, False])
def test_the_stock_is_asked_for_when_both_have_answered_in_whichever_order(customer_first: bool) -> None:
    story = Story(lookups=ASKING)
    answers: list[tuple[Outcome, type]] = [
        (ProductsFetched((PEN, INK)), FetchProducts),
        (CustomerFetched(CUSTOMER), FetchCustomer),
    ]
    for outcome, of in reversed(answers) if customer_first else answers:
        assert story.order.status is Status.CREATED
        assert not any(isinstance(request, Hold) for request in story.requests)
        story.answer(outcome, of=of)
    (hold,) = story.requests
    assert hold == Hold(1, NOW + timedelta(seconds=1800), (HoldLine("pen", 2), HoldLine("ink", 3)))


def test_with_copies_at_hand_the_stock_is_asked_for_in_the_same_decision_and_no_price_is_shown_yet() -> None:
    story = Story()
    assert [type(request) for request in story.requests] == [Hold]
    assert story.order.status is Status.CREATED
    assert totals(story.order).total == 0
    assert all(line.name is None for line in story.order.lines)


def test_a_copy_never_fails_an_order_it_is_asked_for_anew() -> None:
    blocked = replace(CUSTOMER, status="blocked")
    story = Story(lookups=replace(LOOKUPS, customer=blocked))
    assert story.order.status is Status.CREATED
    assert [type(request) for request in story.requests] == [FetchProducts, FetchCustomer]


def test_a_held_order_is_validated_with_prices_tax_address_and_a_new_expiry() -> None:
    story = Story()
    story.now += timedelta(seconds=5)
    story.held()
    order = story.order
    assert order.status is Status.VALIDATED
    assert (order.hold, order.validated_at) == (HoldState.HELD, story.now)
    assert order.expires_at == NOW + timedelta(seconds=RULES.payment_window_s)
    assert order.shipping_address == ADDRESS
    assert order.customer == CUSTOMER
    assert [(line.name, line.unit_price, line.tax) for line in order.lines] == [("Pen", 1000, 420), ("Ink", 333, 100)]
    assert totals(order).total == 2000 + 999 + 490 + 420 + 100 + 103
    assert (order.products, order.fetched_customer) == ((), None)
    assert story.decided.events[-1].data["previous_status"] == "created"


@pytest.mark.parametrize(
    ("products", "customer", "code"),
    [
        ((PEN,), CUSTOMER, "product_unknown"),
        ((PEN, replace(INK, sellable=False)), CUSTOMER, "product_not_sellable"),
        ((PEN, replace(INK, currency="USD")), CUSTOMER, "price_missing"),
        ((PEN, replace(INK, tax_rate="")), CUSTOMER, "tax_rate_missing"),
        ((PEN, replace(INK, tax_rate="1.5")), CUSTOMER, "tax_rate_missing"),
        ((PEN, replace(INK, unit_price=2**53)), CUSTOMER, "total_too_large"),
        ((PEN, INK), replace(CUSTOMER, status="blocked"), "customer_blocked"),
        ((PEN, INK), replace(CUSTOMER, addresses=()), "address_unknown"),
        ((PEN, INK), replace(CUSTOMER, customer_id="c-2"), "customer_unknown"),
    ],
)
def test_the_first_validation_that_fails_cancels_the_order_and_says_why(
    products: tuple[Product, ...], customer: Customer, code: str
) -> None:
    story = Story(lookups=ASKING)
    story.answer(ProductsFetched(products), of=FetchProducts)
    story.answer(CustomerFetched(customer), of=FetchCustomer)
    assert story.order.status is Status.CANCELLED
    assert story.order.cancel_reason is CancelReason.VALIDATION_FAILED
    assert [error.code for error in story.order.validation_errors] == [code]
    assert story.types == ["PedidoCancelado"]
    assert story.requests == []


def test_a_total_just_below_the_limit_is_validated_and_one_above_it_is_not() -> None:
    create = replace(CREATE, lines=(NewLine("pen", 1),))
    rest = 2**53 - 1 - 490 - 103
    for price, held in ((rest, True), (rest + 1, False)):
        pen = replace(PEN, unit_price=price, tax_rate="0")
        story = Story(create, lookups=ASKING).fetched(pen)
        assert [isinstance(request, Hold) for request in story.requests] == ([True] if held else [])


JUDGED_BY = (
    ReferenceVersion(ReferenceKind.PRODUCT, "pen", 1),
    ReferenceVersion(ReferenceKind.PRODUCT, "ink", 1),
    ReferenceVersion(ReferenceKind.CUSTOMER, "c-1", 1),
)


def judged(story: Story) -> tuple[Status, tuple[ReferenceVersion, ...]]:
    """What the order has become, and by what."""
    return story.order.status, story.decided.reference_versions


def test_whatever_judges_an_order_says_by_which_versions_and_nothing_else_does() -> None:
    story = Story(lookups=ASKING)
    assert judged(story) == (Status.CREATED, ())
    assert judged(story.fetched(PEN, INK)) == (Status.CREATED, ())
    assert judged(story.held()) == (Status.VALIDATED, JUDGED_BY)
    assert judged(story.pays()) == (Status.VALIDATED, ())
    story = Story(lookups=ASKING).fetched(replace(PEN, sellable=False), INK)
    assert judged(story) == (Status.CANCELLED, JUDGED_BY)


def test_an_outdated_order_begins_anew_after_waits_that_grow_until_somebody_looks() -> None:
    """Each round is asked of the partners themselves: only a first try is answered by a copy."""
    story = Story()
    waits_s = []
    for round_ in range(1, RULES.step_attention_attempts + 1):
        story.answer(HoldAnswered(story.order.revision, "held"), of=Hold, outdated=True)
        order = story.order
        assert (order.status, order.revision, order.products, order.fetched_customer) == (
            Status.CREATED,
            round_ + 1,
            (),
            None,
        )
        assert [step.state for step in order.steps] == [StepState.RETRYING] * 2
        assert bool(order.attention) == (round_ == RULES.step_attention_attempts)
        waits_s.append(min((step.next_try_at - story.now).total_seconds() for step in order.steps))
        while any(step.state is StepState.RETRYING for step in story.order.steps):
            story.wakes()
        assert min(call.attempt for call in story.calls) > 1
        story.fetched(PEN, INK)
        assert isinstance(story.requests[0], Hold)
        assert story.requests[0].revision == story.order.revision
    assert waits_s == sorted(waits_s)
    assert waits_s[-1] > 10 * waits_s[0]
    story.held()
    assert story.order.status is Status.VALIDATED
    assert story.order.attention == ()


def test_an_order_that_fails_by_what_is_outdated_is_judged_anew() -> None:
    story = Story(lookups=ASKING)
    story.answer(ProductsFetched((replace(PEN, sellable=False), INK)), of=FetchProducts)
    story.answer(CustomerFetched(CUSTOMER), of=FetchCustomer, outdated=True)
    assert story.order.status is Status.CREATED
    while any(step.state is StepState.RETRYING for step in story.order.steps):
        story.wakes()
    assert set(story.requests) == {FetchProducts(("pen", "ink"), "EUR"), FetchCustomer("c-1")}
    assert story.fetched(PEN, INK).held().order.status is Status.VALIDATED


def test_a_customer_that_is_not_known_fails_the_validation() -> None:
    story = Story(lookups=ASKING)
    story.answer(NotFound(), of=FetchCustomer)
    assert story.order.status is Status.CANCELLED
    assert [error.code for error in story.order.validation_errors] == ["customer_unknown"]


def test_a_named_address_is_the_one_that_is_frozen() -> None:
    other = replace(ADDRESS, address_id="work", city="Vigo")
    lookups = replace(LOOKUPS, customer=replace(CUSTOMER, addresses=(ADDRESS, other)))
    story = Story(replace(CREATE, address_id="work"), lookups=lookups).held()
    assert story.order.shipping_address == other


@pytest.mark.parametrize("outcome", [NotSent("open"), Unknown("timeout"), HoldAnswered(1, "held")])
def test_a_lookup_without_a_usable_answer_is_tried_again_after_a_back_off(outcome: Outcome) -> None:
    story = Story(lookups=ASKING)
    story.answer(outcome, of=FetchProducts)
    step = next(step for step in story.order.steps if step.key == "fetch_products:1")
    assert (step.state, step.attempts) == (StepState.RETRYING, 1)
    assert 0.75 <= (step.next_try_at - NOW).total_seconds() <= 1.0
    story.calls.clear()
    story.wakes()
    assert story.requests == [FetchProducts(("pen", "ink"), "EUR")]
    assert story.calls[0].attempt == 2


def test_the_same_hold_is_asked_for_byte_for_byte_however_much_later() -> None:
    story = Story()
    first = story.requests[0]
    story.answer(Unknown("timeout"))
    story.wakes()
    story.now += timedelta(seconds=50)
    story.wakes()
    assert len(story.requests) == 2
    assert set(story.requests) == {first}


def test_stock_that_is_short_at_first_cancels_after_the_hold_was_given_back() -> None:
    story = Story()
    story.answer(Declined(409, "out_of_stock", "", (Shortage("pen", 1),)))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.OUT_OF_STOCK)
    assert [(error.code, error.sku) for error in story.order.validation_errors] == [("out_of_stock", "pen")]
    assert story.requests == [ReleaseHold()]  # a PUT that comes late must hold nothing
    story.released()
    assert story.order.status is Status.CANCELLED


def test_an_edit_that_cannot_be_validated_leaves_the_order_created_until_another_mends_it() -> None:
    story = validated()
    item = story.order.lines[0].id
    story.says(ChangeQuantity(item, 9))
    story.answer(Declined(409, "out_of_stock", "", (Shortage("pen", 4),)))
    assert story.order.status is Status.CREATED
    assert [error.code for error in story.order.validation_errors] == ["out_of_stock"]
    assert (story.types, story.decided.events[0].data["changed"]) == (["PedidoActualizado"], ["validation"])
    assert story.refuses(Pay("card")).code == "illegal_transition"
    story.says(ChangeQuantity(item, 3))
    assert story.order.validation_errors == ()
    story.held()
    assert (story.order.status, story.order.revision) == (Status.VALIDATED, 3)


@pytest.mark.parametrize("code", ["stale_revision", "conflict"])
def test_an_outdated_hold_is_asked_for_with_the_next_revision_after_a_back_off(code: str) -> None:
    story = Story()
    story.answer(Declined(409, code))
    assert (story.order.revision, story.requests) == (2, [])
    story.wakes()
    (hold,) = story.requests
    assert isinstance(hold, Hold)
    assert hold.revision == 2
    story.held()
    assert story.order.status is Status.VALIDATED


def test_an_order_whose_hold_was_released_can_never_be_held_again_and_is_cancelled() -> None:
    story = validated()
    story.says(ChangeQuantity(story.order.lines[0].id, 3))
    story.answer(Declined(409, "hold_released"))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.OUT_OF_STOCK)


@pytest.mark.parametrize("code", ["already_committed", "something_new"])
def test_any_other_refusal_of_the_first_hold_is_a_validation_that_failed(code: str) -> None:
    story = Story()
    story.answer(Declined(409, code))
    assert story.order.cancel_reason is CancelReason.VALIDATION_FAILED


def test_a_hold_that_expired_before_it_was_answered_is_asked_for_anew() -> None:
    story = Story()
    story.answer(HoldAnswered(1, "expired"))
    story.wakes()
    assert [request.revision for request in story.requests if isinstance(request, Hold)] == [2]


def test_a_validated_order_asks_for_a_lost_hold_again_and_stays_validated_with_its_expiry() -> None:
    story = validated()
    expires_at = story.order.expires_at
    story.now += timedelta(seconds=100)
    story.says(HoldLost("pen"))
    assert (story.order.status, story.order.hold, story.order.revision) == (Status.VALIDATED, HoldState.LOST, 2)
    assert story.requests == [Hold(2, expires_at, (HoldLine("pen", 2), HoldLine("ink", 3)))]
    story.held()
    assert (story.order.status, story.order.hold) == (Status.VALIDATED, HoldState.HELD)
    assert story.order.expires_at == expires_at


@pytest.mark.parametrize(
    ("code", "reason"),
    [("out_of_stock", CancelReason.OUT_OF_STOCK), ("invalid_request", CancelReason.VALIDATION_FAILED)],
)
def test_a_lost_hold_that_is_refused_cancels_a_validated_order_as_a_first_validation_that_fails(
    code: str, reason: CancelReason
) -> None:
    story = validated()
    story.says(HoldLost("pen"))
    story.answer(Declined(409, code))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, reason)


def test_a_hold_that_is_lost_while_it_is_asked_for_is_asked_for_with_a_higher_revision() -> None:
    story = Story()
    story.says(HoldLost("pen"))
    assert [request.revision for request in story.requests if isinstance(request, Hold)] == [2]
    assert story.says(CallAnswered("hold:1", 1, HoldAnswered(1, "held"))).order is None


@pytest.mark.parametrize(
    "status", [Status.CONFIRMED, Status.PREPARED, Status.SHIPPED, Status.DELIVERED, Status.CANCELLING, Status.CANCELLED]
)
def test_a_lost_hold_is_ignored_once_the_commit_tells_or_nothing_is_held(status: Status) -> None:
    assert at(status).says(HoldLost("pen")).order is None


def test_a_total_of_nothing_is_paid_and_confirmed_without_a_payment() -> None:
    create = replace(CREATE, lines=(NewLine("free", 1),), discount_codes=("NOSHIP",))
    story = Story(create).held()
    assert story.order.status is Status.CONFIRMED
    assert story.order.paid_at == story.order.confirmed_at == story.now
    assert [(event.type.value, event.data["status"]) for event in story.decided.events] == [
        ("PedidoActualizado", "validated"),
        ("PedidoActualizado", "paid"),
        ("PedidoConfirmado", "confirmed"),
    ]
    assert story.order.lines[0].unit_price == FREE.unit_price


def test_prices_that_fell_below_what_is_paid_give_the_surplus_back_and_the_order_is_paid() -> None:
    story = validated()
    story.pays(2000).confirmed()
    story.says(ChangeQuantity(story.order.lines[1].id, 1), lookups=ASKING)
    story.fetched(replace(PEN, unit_price=100), INK)
    story.held()
    order = story.order
    assert order.status is Status.CONFIRMED
    surplus = 2000 - totals(order).total
    assert surplus > 0
    assert story.give_back.amount.amount == surplus
    story.refunded()
    assert totals(story.order).balance == 0


def test_a_rejection_after_the_hold_was_lost_for_good_finishes_the_cancellation() -> None:
    story = validated().pays()
    story.says(HoldLost("pen"))
    story.answer(Declined(409, "out_of_stock"), of=Hold)
    assert story.order.status is Status.CANCELLING
    assert not any(isinstance(request, ReleaseHold) for request in story.requests)  # the payment's outcome comes first
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    assert story.requests[-1] == ReleaseHold()
