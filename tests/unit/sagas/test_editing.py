"""Creating and editing: what is refused at once, what sends the order back to be validated, what counts as a repeat."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.calls import Hold, HoldAnswered
from domain.commands import (
    AddItem,
    ApplyDiscount,
    Body,
    CallAnswered,
    ChangeQuantity,
    CreateOrder,
    NewLine,
    RemoveDiscount,
    RemoveItem,
)
from domain.errors import RefusalKind, Refused
from domain.order import Status
from domain.promotions import Promotion, PromotionKind
from domain.representation import totals
from sagas.decide import decide
from sagas.decision import PromotionUse
from tests.unit.sagas.builders import (
    ASKING,
    CREATE,
    INK,
    LOOKUPS,
    NOW,
    PEN,
    PROMOTIONS,
    RULES,
    Story,
    message,
    validated,
)


def refusal(create: CreateOrder) -> Refused:
    with pytest.raises(Refused) as caught:
        decide(None, message(create), NOW, RULES)
    return caught.value


def test_a_new_order_is_created_at_version_one_and_expires_a_payment_window_later() -> None:
    story = Story(replace(CREATE, metadata={"gift": "yes"}))
    order = story.order
    assert (order.status, order.version, order.revision, order.id) == (Status.CREATED, 1, 1, CREATE.order_id)
    assert order.expires_at == NOW + timedelta(seconds=1800)
    assert order.metadata == {"gift": "yes"}
    assert story.types == ["PedidoCreado"]
    assert story.decided.result.settled is False


def test_a_sku_that_is_named_twice_is_one_line() -> None:
    story = Story(replace(CREATE, lines=(NewLine("pen", 2), NewLine("ink", 1), NewLine("pen", 3))))
    assert [(line.sku, line.quantity) for line in story.order.lines] == [("pen", 5), ("ink", 1)]


@pytest.mark.parametrize(
    ("create", "code", "pointer"),
    [
        (replace(CREATE, currency="CHF"), "currency_not_supported", "/currency"),
        (replace(CREATE, shipping_method="drone"), "shipping_method_not_supported", "/shipping_method"),
        (replace(CREATE, lines=()), "items_missing", "/items"),
        (replace(CREATE, lines=(NewLine("pen", 0),)), "quantity_out_of_range", "/items/0/quantity"),
        (replace(CREATE, lines=(NewLine("pen", 10_001),)), "quantity_out_of_range", "/items/0/quantity"),
        (
            replace(CREATE, lines=(NewLine("pen", 6000), NewLine("pen", 6000))),
            "quantity_out_of_range",
            "/items/1/quantity",
        ),
        (replace(CREATE, lines=tuple(NewLine(f"s{i}", 1) for i in range(201))), "too_many_lines", "/items/200"),
        (replace(CREATE, discount_codes=("NONE",)), "discount_not_found", "/discount_codes/0"),
        (replace(CREATE, discount_codes=("FIVE", "TEN")), "discount_not_combinable", "/discount_codes/1"),
        (replace(CREATE, discount_codes=("FIVE",), currency="USD"), "discount_not_applicable", "/discount_codes/0"),
    ],
)
def test_what_can_be_known_to_be_wrong_at_once_is_refused_and_nothing_is_stored(
    create: CreateOrder, code: str, pointer: str
) -> None:
    refused = refusal(create)
    assert (refused.kind, refused.code) == (RefusalKind.UNPROCESSABLE, code)
    assert [(fault.pointer, fault.code) for fault in refused.errors] == [(pointer, code)]


def test_two_hundred_lines_are_not_too_many() -> None:
    story = Story(replace(CREATE, lines=tuple(NewLine(f"s{i}", 1) for i in range(200))), lookups=ASKING)
    assert len(story.order.lines) == 200


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"starts_at": NOW + timedelta(seconds=1)}, {"ends_at": NOW}],
)
def test_a_promotion_outside_its_window_is_not_active(change: dict[str, object]) -> None:
    promotion = replace(PROMOTIONS[0], **change)
    with pytest.raises(Refused) as caught:
        decide(
            None,
            message(replace(CREATE, discount_codes=("TEN",)), lookups=replace(LOOKUPS, promotions=(promotion,))),
            NOW,
            RULES,
        )
    assert caught.value.code == "discount_not_active"


def test_each_code_of_a_creation_is_claimed_once() -> None:
    story = Story(replace(CREATE, discount_codes=("TEN", "NOSHIP", "TEN")))
    assert story.decided.promotion_uses == (PromotionUse("TEN", "c-1"), PromotionUse("NOSHIP", "c-1"))
    assert [discount.code for discount in story.order.discounts] == ["TEN", "NOSHIP"]


def test_an_edit_raises_the_revision_and_sends_the_order_back_to_be_validated() -> None:
    story = validated()
    decision = story.says(AddItem("free", 1))
    order = story.order
    assert (order.status, order.revision) == (Status.CREATED, 2)
    assert decision.result.resource_id == order.lines[-1].id
    assert story.types == ["PedidoActualizado"]
    assert set(decision.events[0].data["changed"]) == {"items", "totals", "status"}  # type: ignore[call-overload]
    story.held()
    assert story.order.status is Status.VALIDATED


def test_an_edit_replaces_a_hold_that_is_still_asked_for() -> None:
    story = Story()
    story.says(AddItem("pen", 1))
    assert [request.revision for request in story.requests if isinstance(request, Hold)] == [2]
    assert story.says(CallAnswered("hold:1", 1, HoldAnswered(1, "held"))).order is None
    story.says(CallAnswered("hold:2", 1, HoldAnswered(2, "held")))
    assert story.order.status is Status.VALIDATED


def test_adding_a_sku_that_is_in_the_order_adds_to_its_line_up_to_ten_thousand() -> None:
    story = validated()
    line = story.order.lines[0]
    assert story.refuses(AddItem("pen", 9_999)).code == "quantity_out_of_range"
    assert story.says(AddItem("pen", 9_998)).result.resource_id == line.id
    assert [each.quantity for each in story.order.lines] == [10_000, 3]


def test_a_line_past_the_two_hundredth_is_too_many() -> None:
    story = Story(replace(CREATE, lines=tuple(NewLine(f"s{i}", 1) for i in range(200))), lookups=ASKING)
    assert story.refuses(AddItem("new", 1)).code == "too_many_lines"


def test_a_line_that_was_removed_never_gives_its_id_to_another() -> None:
    story = validated()
    gone = story.order.lines[1].id
    story.says(RemoveItem(gone))
    story.says(AddItem("ink", 1))
    assert gone not in [line.id for line in story.order.lines]


@pytest.mark.parametrize("command", [ChangeQuantity("nothing", 2), RemoveItem("nothing")])
def test_an_item_that_the_order_does_not_have_is_not_found(command: Body) -> None:
    refused = validated().refuses(command)
    assert (refused.kind, refused.code) == (RefusalKind.NOT_FOUND, "item_not_found")


def test_the_last_item_stays() -> None:
    story = validated(replace(CREATE, lines=(NewLine("pen", 1),)))
    refused = story.refuses(RemoveItem(story.order.lines[0].id))
    assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "last_item")


def test_the_quantity_that_a_line_has_is_a_repeat() -> None:
    story = validated()
    assert story.says(ChangeQuantity(story.order.lines[0].id, 2)).order is None


def test_no_edit_is_possible_while_a_payment_is_in_flight() -> None:
    story = validated().pays()
    item = story.order.lines[0].id
    for command in (
        AddItem("pen", 1),
        ChangeQuantity(item, 9),
        RemoveItem(item),
        ApplyDiscount("TEN"),
        RemoveDiscount("TEN"),
    ):
        refused = story.refuses(command)
        assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "payment_in_progress")


def test_an_edit_below_what_is_paid_is_refused_and_one_to_exactly_that_pays_the_order() -> None:
    story = validated()
    pen_alone = 2000 + 420 + 490 + 103
    story.pays(pen_alone).confirmed()
    assert story.is_at(Status.VALIDATED)
    refused = story.refuses(ChangeQuantity(story.order.lines[0].id, 1))
    assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "below_paid")
    story.says(RemoveItem(story.order.lines[1].id))
    story.held()
    assert story.order.status is Status.CONFIRMED
    assert not story.order.payments[0].refunds


def test_an_edited_order_shows_amounts_that_add_up_before_it_is_validated_again() -> None:
    story = validated(replace(CREATE, discount_codes=("TEN",)))
    story.says(ChangeQuantity(story.order.lines[0].id, 4))
    sums = totals(story.order)
    assert sums.items == 4000 + 999
    assert sums.discount == 500
    assert sums.total == sums.items - sums.discount + sums.shipping + sums.tax


def test_applying_a_discount_claims_it_and_shows_what_it_takes_off() -> None:
    story = validated()
    decision = story.says(ApplyDiscount("TEN"))
    assert decision.promotion_uses == (PromotionUse("TEN", "c-1"),)
    story.held()
    assert [(each.code, each.amount, each.reason) for each in story.order.discounts] == [("TEN", 300, None)]
    assert totals(story.order).discount == 300


def test_a_discount_that_is_on_the_order_already_is_a_repeat() -> None:
    story = validated(replace(CREATE, discount_codes=("TEN",)))
    decision = story.says(ApplyDiscount("TEN"))
    assert (decision.order, decision.promotion_uses) == (None, ())


def test_removing_a_discount_gives_its_use_back() -> None:
    story = validated(replace(CREATE, discount_codes=("TEN",)))
    assert story.says(RemoveDiscount("TEN")).releases == ("TEN",)
    refused = story.refuses(RemoveDiscount("TEN"))
    assert (refused.kind, refused.code) == (RefusalKind.NOT_FOUND, "discount_not_found")


def test_a_code_is_the_promotions_own_however_a_customer_writes_it() -> None:
    story = Story(replace(CREATE, discount_codes=("ten", "NoShip", "TEN")))
    assert [discount.code for discount in story.order.discounts] == ["TEN", "NOSHIP"]
    story = validated()
    decision = story.says(ApplyDiscount("tEN"))
    assert decision.promotion_uses == (PromotionUse("TEN", "c-1"),)
    assert story.order.discounts[0].code == "TEN"
    assert story.says(ApplyDiscount("Ten")).order is None
    assert story.says(RemoveDiscount("ten")).releases == ("TEN",)
    assert story.order.discounts == ()


def test_a_discount_that_prices_keep_from_applying_stays_listed_with_nothing_and_a_reason() -> None:
    big = Promotion(code="BIG", kind=PromotionKind.PERCENTAGE, fraction="0.5", min_subtotal=2500, combinable=True)
    lookups = replace(LOOKUPS, promotions=(big,))
    story = Story(replace(CREATE, discount_codes=("BIG",)), lookups=lookups).held()
    assert totals(story.order).discount == 1500
    story.says(ChangeQuantity(story.order.lines[0].id, 1))
    story.held()
    assert [(each.code, each.amount, each.reason) for each in story.order.discounts] == [("BIG", 0, "min_subtotal")]


def test_what_a_price_was_at_validation_is_kept_until_the_next_one() -> None:
    story = validated()
    cheap = replace(LOOKUPS, products=(replace(PEN, unit_price=1), INK))
    story.says(ChangeQuantity(story.order.lines[0].id, 1), lookups=cheap)
    assert story.order.lines[0].unit_price == 1000
    story.held()
    assert story.order.lines[0].unit_price == 1
