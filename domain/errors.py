"""The two branches of errors: refused (for the caller, repeating can't help) and unavailable (not now, same id
again).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class OrderSvcError(Exception):
    """Any error that a caller gets in place of a reply."""


class RefusalKind(StrEnum):
    """What sort of no it is; the edge turns it into a status code."""

    INVALID = "invalid"  # 400: can't be understood
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404
    CONFLICT = "conflict"  # 409: not in this state
    STALE = "stale"  # 412: another version
    TOO_LARGE = "too_large"  # 413
    UNPROCESSABLE = "unprocessable"  # 422: understood, against the rules


class FieldError(msgspec.Struct, frozen=True):
    """One fault in the request; ``pointer`` is an RFC 6901 JSON pointer."""

    pointer: str
    code: str
    message: str


class Refused(OrderSvcError):
    """The rules say no; nothing was changed and nothing is remembered.

    ``allowed``: the commands legal now, for ``illegal_transition`` (docs/contract.md, "The seven stages"). ``current_version``:
    for ``version_conflict``.
    """

    def __init__(
        self,
        kind: RefusalKind,
        code: str,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        allowed: tuple[str, ...] | None = None,
        current_version: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = kind
        self.code = code
        self.detail = detail
        self.errors = errors
        self.allowed = allowed
        self.current_version = current_version


class Unavailable(OrderSvcError):
    """Not now: ask again, with the same id, after ``retry_after_s`` seconds. Certainly nothing was changed."""

    def __init__(self, code: str, detail: str, *, retry_after_s: float = 1.0, overloaded: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.overloaded = overloaded


class OutcomeUnknown(OrderSvcError):
    """It may have been done or not; asking again with the same id gives the outcome."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
