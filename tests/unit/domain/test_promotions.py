from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from domain.promotions import Promotion, PromotionKind, code_key, unusable_because

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TEN = Promotion(code="TEN", kind=PromotionKind.PERCENTAGE, fraction="0.1")
FIVE = Promotion(code="FIVE", kind=PromotionKind.FIXED_AMOUNT, amount=500, currency="EUR")


@pytest.mark.parametrize(
    ("promotion", "reason"),
    [
        (TEN, None),
        (replace(TEN, active=False), "discount_not_active"),
        (replace(TEN, starts_at=NOW), None),
        (replace(TEN, starts_at=NOW + SECOND), "discount_not_active"),
        (replace(TEN, ends_at=NOW), "discount_not_active"),
        (replace(TEN, ends_at=NOW + SECOND), None),
        (FIVE, None),
        (replace(FIVE, currency="USD"), "discount_not_applicable"),
    ],
)
def test_a_promotion_can_be_used_within_its_window_and_in_its_currency(
    promotion: Promotion, reason: str | None
) -> None:
    assert unusable_because(promotion, currency="EUR", beside=(), now=NOW) == reason


@pytest.mark.parametrize(
    ("mine", "other", "reason"),
    [
        (True, True, None),
        (True, False, "discount_not_combinable"),
        (False, True, "discount_not_combinable"),
        (False, False, "discount_not_combinable"),
    ],
)
def test_promotions_go_together_only_if_all_of_them_may(*, mine: bool, other: bool, reason: str | None) -> None:
    promotion = replace(TEN, combinable=mine)
    beside = (replace(FIVE, combinable=other),)
    assert unusable_because(promotion, currency="EUR", beside=beside, now=NOW) == reason


def test_codes_are_alike_in_any_case_of_ascii_and_no_other() -> None:
    assert code_key("Summer-25.A_b") == code_key("SUMMER-25.a_B") == "summer-25.a_b"
    assert len({code_key(code) for code in ("K", "\u212a", "\u0130", "I", "\u0131")}) == 5
