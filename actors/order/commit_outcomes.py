"""The errors that senders get for a decision that did not become a commit."""

from __future__ import annotations

from actors.order.commit_loop import CommitOutcome
from actors.order.messages import NotOwner
from domain.commands import ApplyDiscount, Body, CreateOrder
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused, Unavailable

REFUSALS_OF_PROMOTIONS = {
    "discount_exhausted": "the promotion has no uses left",
    "discount_not_found": "there is no such promotion",
    "discount_not_active": "the promotion can't be used now",
}


def error_for(
    commit_outcome: CommitOutcome, reason: str, body: Body | None = None
) -> Refused | Unavailable | OutcomeUnknown | NotOwner:
    """Give what takes the answer's place. ``reason`` came with the outcome; ``body`` is the command's, if it was one."""
    match commit_outcome:
        case CommitOutcome.NOT_OWNER:
            return NotOwner("")
        case CommitOutcome.REFUSED:
            detail = REFUSALS_OF_PROMOTIONS.get(reason, "the promotion can't be used")
            fault = FieldError(_place_of_codes(body), reason, detail[:1].upper() + detail[1:])
            return Refused(RefusalKind.UNPROCESSABLE, reason, detail, errors=(fault,))
        case CommitOutcome.UNKNOWN:
            return OutcomeUnknown("the commit failed half-way; asking again with the same key tells")
        case _:
            return Unavailable("database_unavailable", reason or "the database can't be written to now")


def _place_of_codes(body: Body | None) -> str:
    """Where a command names promotions, as a JSON pointer; of several it is not known which could not be used."""
    match body:
        case ApplyDiscount():
            return "/code"
        case CreateOrder(discount_codes=(_,)):
            return "/discount_codes/0"
    return "/discount_codes"
