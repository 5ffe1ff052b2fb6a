"""All the laws, by their number: what a run is judged by."""

from __future__ import annotations

from tests.faults import laws, laws_money, laws_told, laws_words
from tests.faults.evidence import Evidence
from tests.faults.laws import Law, Violation

LAWS: dict[str, Law] = {
    "L1": laws.exists_once,
    "L2": laws_money.charged_once,
    "L3": laws_money.cancelled_holds_nothing,
    "L4": laws_money.never_oversold,
    "L5": laws.comes_to_rest,
    "L6": laws.steps_are_legal,
    "L7": laws.says_what_is_committed,
    "L8": laws.one_writer,
    "L9": laws_told.keys_act_once,
    "L10": laws_told.reads_see_what_was_told,
    "L11": laws.deadlines_hold,
    "L12": laws.stays_bounded,
    "L13": laws_told.unknown_is_not_told_as_known,
    "L14": laws_words.decided_by_word,
}


def violations(evidence: Evidence) -> list[Violation]:
    """Every violation of every law."""
    return [violation for law in LAWS.values() for violation in law(evidence)]
