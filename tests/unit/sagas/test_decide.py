"""Which command is answered in which status: the whole table, and what comes before it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from domain.calls import (
    CustomerFetched,
    Declined,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    Unknown,
)
from domain.commands import (
    AddItem,
    ApplyDiscount,
    Body,
    CallAnswered,
    Cancel,
    ChangeQuantity,
    Deliver,
    HoldLost,
    Pay,
    PaymentConfirmed,
    PaymentRejected,
    RemoveDiscount,
    RemoveItem,
    RetryNow,
    Ship,
    SkipToCompensation,
    Wake,
)
from domain.errors import RefusalKind, Refused
from domain.money import Money
from domain.order import CancelReason, Status
from domain.representation import allowed
from sagas.decide import COMMAND_NAMES, decide
from tests.unit.sagas.builders import CREATE, CUSTOMER, NOW, PEN, RULES, Story, at, message, validated

EDITS = ["add_item", "change_quantity", "remove_item", "apply_discount", "remove_discount"]
ALLOWED = {
    Status.CREATED: [*EDITS, "cancel"],
    Status.VALIDATED: [*EDITS, "pay", "cancel"],
    Status.PAID: ["cancel"],
    Status.CONFIRMED: ["cancel"],
    Status.PREPARED: ["cancel", "ship"],
    Status.SHIPPED: ["deliver"],
    Status.DELIVERED: [],
    Status.CANCELLING: [],
    Status.CANCELLED: [],
}
OUTCOMES: tuple[Outcome, ...] = (
    ProductsFetched((PEN,)),
    CustomerFetched(CUSTOMER),
    HoldAnswered(77, "held"),
    PaymentAnswered(payment_id="nobody", status="confirmed", amount=Money(1, "EUR")),
    RefundAnswered(refund_id="nothing", status="refunded", amount=Money(1, "EUR")),
    Declined(409, "out_of_stock"),
    NotFound(),
    NotSent("circuit open"),
    Unknown("timeout"),
)
# A repeat of what was done is a success although the command is not listed as legal.
REPEATS = {
    Status.DELIVERED: {"deliver"},
    Status.CANCELLING: {"cancel"},
    Status.CANCELLED: {"cancel"},
}


def commands(story: Story) -> list[Body]:
    item = story.order.lines[0].id
    return [
        AddItem("pen", 1),
        ChangeQuantity(item, 5),
        RemoveItem(item),
        ApplyDiscount("TEN"),
        RemoveDiscount("TEN"),
        Pay("card"),
        Cancel(CancelReason.CUSTOMER),
        SkipToCompensation("enough"),
        Ship(carrier="c", tracking_number="t"),
        Deliver(),
    ]


@pytest.mark.parametrize("status", list(Status))
def test_each_status_says_which_commands_are_legal_and_answers_every_one_of_them_so(status: Status) -> None:
    story = at(status)
    assert story.order.status is status
    assert list(allowed(story.order, story.now, payment_attempts_max=RULES.payment_attempts_max)) == ALLOWED[status]
    for command in commands(story):
        name = COMMAND_NAMES[type(command)]
        if name in REPEATS.get(status, set()):
            assert decide(story.order, message(command), story.now, RULES).order is None
        elif name == "remove_discount" and name in ALLOWED[status]:
            assert story.refuses(command).code == "discount_not_found"  # it may, but there is none
        elif name in ALLOWED[status]:
            after = decide(story.order, message(command), story.now, RULES).order
            assert after is not None
            assert after.version == story.order.version + 1
        else:
            refused = story.refuses(command)
            assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "illegal_transition")
            assert refused.allowed == tuple(ALLOWED[status])


def test_nothing_but_a_creation_finds_an_order_that_is_none() -> None:
    for body in (Pay("card"), Wake(), PaymentRejected("p", "no"), HoldLost("pen"), RetryNow()):
        with pytest.raises(Refused) as caught:
            decide(None, message(body), NOW, RULES)
        assert (caught.value.kind, caught.value.code) == (RefusalKind.NOT_FOUND, "order_not_found")


def test_a_creation_of_an_order_that_exists_is_a_repeat() -> None:
    assert validated().says(CREATE).order is None


def test_another_customers_order_does_not_exist_even_before_its_version_is_compared() -> None:
    letter = replace(message(Wake()), customer_scope="c-2", expected_version=99)
    with pytest.raises(Refused) as caught:
        decide(Story().order, letter, NOW, RULES)
    assert (caught.value.kind, caught.value.code) == (RefusalKind.NOT_FOUND, "order_not_found")


def test_an_order_that_is_not_as_the_sender_saw_it_is_a_version_conflict() -> None:
    order = validated().order
    letter = replace(message(Ship(carrier="c", tracking_number="t")), expected_version=1)
    with pytest.raises(Refused) as caught:
        decide(order, letter, NOW, RULES)
    assert (caught.value.kind, caught.value.code) == (RefusalKind.STALE, "version_conflict")
    assert caught.value.current_version == order.version == 2


def test_an_order_that_is_as_the_sender_saw_it_is_changed() -> None:
    story = validated()
    letter = replace(message(Pay("card")), expected_version=2, customer_scope="c-1")
    assert decide(story.order, letter, NOW, RULES).order is not None


@pytest.mark.parametrize("event", ["confirmed", "rejected"])
def test_word_on_a_payment_that_the_order_does_not_know_yet_is_not_found(event: str) -> None:
    bodies: dict[str, Body] = {
        "confirmed": PaymentConfirmed(payment_id="nobody", amount=Money(1, "EUR")),
        "rejected": PaymentRejected("nobody", "card_declined"),
    }
    refused = validated().refuses(bodies[event])
    assert (refused.kind, refused.code) == (RefusalKind.NOT_FOUND, "payment_not_found")


@pytest.mark.parametrize("status", list(Status))
def test_an_answer_to_a_step_that_is_no_more_changes_nothing(status: Status) -> None:
    story = at(status)
    for outcome in OUTCOMES:
        assert story.says(CallAnswered("hold:77", 1, outcome)).order is None
