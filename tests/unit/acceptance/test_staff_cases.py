"""The table of docs/operations.md names every reason for attention, and the acceptance tests walk through each of its verbs."""

from domain.attention import AttentionReason
from tests.acceptance.staff_cases import CASES, PAGE, documented


def test_every_reason_for_attention_is_in_the_table_with_what_ends_it() -> None:
    assert {reason for reason, _, _ in documented(PAGE.read_text())} == {reason.value for reason in AttentionReason}


def test_every_verb_of_the_table_is_tried_and_no_other() -> None:
    assert {(case.reason, case.of, case.verb) for case in CASES} == documented(PAGE.read_text())


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
