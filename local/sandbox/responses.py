"""Answers as the partners' contract shapes them: JSON bodies, problems with a code, times in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what a decoder raises for a body of any kind


@dataclass(frozen=True, slots=True)
class EmulatedResponse:
    """A status and a JSON body; ``retry_after_s`` goes with a 429."""

    status: int
    body: bytes
    retry_after_s: int | None = None


def ok(value: Any, status: int = HTTPStatus.OK) -> EmulatedResponse:
    """Encode ``value`` as the body of a success."""
    return EmulatedResponse(status, encode(value))


def problem(status: int, code: str, detail: str = "", **more: Any) -> EmulatedResponse:
    """Give an RFC 9457 problem with the partners' ``code``."""
    return EmulatedResponse(status, encode({"status": status, "code": code, "detail": detail} | more))


def conflict(code: str, detail: str = "", **more: Any) -> EmulatedResponse:
    """Give a 409 with its code."""
    return problem(HTTPStatus.CONFLICT, code, detail, **more)


def not_found(what: str) -> EmulatedResponse:
    """Give a 404, its code by the name of what is not there: ``payment_not_found``."""
    return problem(HTTPStatus.NOT_FOUND, f"{what}_not_found", f"no such {what}")


def invalid(detail: str) -> EmulatedResponse:
    """Give a 422."""
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail)


def instant(at_ms: int) -> str:
    """Write milliseconds since 1970 as RFC 3339 UTC."""
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def exact_instant(at_us: int) -> str:
    """Write microseconds since 1970 as RFC 3339 UTC."""
    return (EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds")[:-6] + "Z"
