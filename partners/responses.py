"""What an answer means: the partner's word where the contract describes it for that operation, and no word otherwise.

Something between us and a partner (a proxy, a gateway, a login page, a deployment under way) answers too, with any status.
What it says must never reject, cancel or settle anything, so everything that the contract does not describe is ``Unknown``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

from domain.calls import Declined, NotFound, NotSent, Shortage, Unknown
from partners.contract import PartnerOperation
from partners.shapes import ProblemShape, Reader

DETAIL_MAX_CHARACTERS: Final = 300
CODE_MAX_CHARACTERS: Final = 80
SHORTAGES_MAX: Final = 200
RETRY_AFTER_MAX_S: Final = 60.0
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

T = TypeVar("T")
NoAnswer = NotFound | Declined | NotSent | Unknown

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_SECONDS: Final = re.compile(r"[0-9]+")
_PROBLEM: Final = Reader(ProblemShape)


class Throttled(Unknown, frozen=True):
    """429: outcome unknown like any other, but the partner said when it wants to be asked again."""

    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerResponse:
    """A response as it came; the headers are empty where they are missing."""

    status: int
    content_type: str
    retry_after: str
    content: bytes


def meaning(operation: PartnerOperation[T], answer: PartnerResponse) -> T | NoAnswer:
    """Read ``answer`` to a request of ``operation``.

    A success gives the body's shape, 404 with a code that the contract names there ``NotFound``, another 4xx with such a
    code ``Declined``, 429 ``Throttled``, and everything else ``Unknown``, with status and content type in its detail.
    """
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Unknown(f"credentials refused: {_described(answer)}", credentials_refused=True)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled("429 throttled", retry_after_s=retry_after_s(answer.retry_after))
    media_type = _media_type(answer.content_type)
    try:
        if answer.status in operation.success and media_type == JSON:
            return operation.reader.read(answer.content)
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and media_type == PROBLEM_JSON:
            return _refusal(operation, answer.status, _PROBLEM.read(answer.content))
    except ValueError as error:
        return _no_answer(f"{_described(answer)} with a body against the contract: {error}")
    return _no_answer(f"{_described(answer)}, which the contract does not describe here")


def retry_after_s(text: str) -> float:
    """Read ``Retry-After`` in seconds; its other form, a date, and nonsense count as not given."""
    return min(float(text), RETRY_AFTER_MAX_S) if _SECONDS.fullmatch(text) else 0.0


def _refusal(operation: PartnerOperation[T], status: int, problem: ProblemShape) -> NoAnswer:
    code = problem.code[:CODE_MAX_CHARACTERS]
    if not operation.names(status, problem.code):
        return _no_answer(f"{status} with the code {code!r}, which the contract does not name here")
    if status == HTTPStatus.NOT_FOUND:
        return NotFound()
    shortages = (Shortage(each.sku, each.available) for each in (problem.shortages or ())[:SHORTAGES_MAX] if each.sku)
    return Declined(status, code, (problem.detail or "")[:DETAIL_MAX_CHARACTERS], tuple(shortages))


def _no_answer(detail: str) -> Unknown:
    return Unknown(detail[:DETAIL_MAX_CHARACTERS])


def _described(answer: PartnerResponse) -> str:
    return f"{answer.status} {_media_type(answer.content_type) or 'without a content type'}"


def _media_type(header: str) -> str:
    """Give ``Content-Type`` without its parameters, in lower case; empty where there is none."""
    media_type = header.partition(";")[0].strip(" \t").lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else ""
