"""The answers to requests that failed: RFC 9457 problem documents, and the one table of their codes.

Every error that leaves the service is rendered here, wherever it was raised. Nothing here decides whether something is an
error.
"""

from __future__ import annotations

import json
import math

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from api.http.request_state import Header, route_of, state_of
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused, Unavailable
from storage.errors import CommitUnknown, StorageUnavailable, UndecodableSnapshot

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
MEDIA_TYPE = "application/problem+json"

# code -> (status, title). Codes of refusals that are not listed take the status of their kind.
CODES: dict[str, tuple[int, str]] = {
    "idempotency_key_missing": (400, "An Idempotency-Key is required"),
    "invalid_idempotency_key": (400, "The Idempotency-Key can't be used"),
    "repeated_header": (400, "A header that may be given once is repeated"),
    "invalid_if_match": (400, "The If-Match header can't be understood"),
    "invalid_cursor": (400, "The cursor is not one of ours, or belongs to other filters"),
    "malformed_json": (400, "The body is not JSON"),
    "unauthorized": (401, "A bearer token is required"),
    "invalid_token": (401, "The token is not valid"),
    "insufficient_scope": (403, "The token lacks a scope"),
    "customer_mismatch": (403, "The token belongs to another customer"),
    "not_found": (404, "There is nothing here"),
    "order_not_found": (404, "There is no such order"),
    "item_not_found": (404, "The order has no such line"),
    "payment_not_found": (404, "The order has no such payment"),
    "shipment_not_found": (404, "The order has no such shipment"),
    "promotion_not_found": (404, "There is no such promotion"),
    "customer_not_found": (404, "There is no such customer"),
    "dead_letter_not_found": (404, "There is no such dead letter"),
    "subject_not_found": (404, "The order has no such payment or refund"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "illegal_transition": (409, "Not in the order's present state"),
    "payment_in_progress": (409, "A payment is in flight"),
    "payment_mismatched": (409, "A payment took another amount"),
    "too_many_payment_attempts": (409, "The order has had all the payments that it may have"),
    "too_many_refund_attempts": (409, "The order has had all the refunds that it may have"),
    "refund_in_progress": (409, "What was taken is being given back"),
    "already_decided": (409, "Its outcome is known already, and is another"),
    "last_item": (409, "An order keeps at least one line"),
    "below_paid": (409, "The order would cost less than is paid"),
    "nothing_to_settle": (409, "No stock that needs attention can be settled outside"),
    "promotion_exists": (409, "There is such a promotion already"),
    "promotion_changing": (409, "Others are changing the promotion"),
    "version_conflict": (412, "The order has another version"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body has to be application/json"),
    "invalid_request": (422, "The request breaks the rules of its shape"),
    "invalid_parameter": (422, "A parameter can't be used"),
    "too_many_lines": (422, "An order has 200 lines at most"),
    "invalid_quantity": (422, "A quantity is between 1 and 10 000"),
    "invalid_text": (422, "A text holds characters that can't be kept"),
    "metadata_too_large": (422, "The metadata are too large"),
    "customer_required": (422, "The order has to say whose it is"),
    "quantity_out_of_range": (422, "The quantity is more than there may be, or than is left"),
    "amount_out_of_range": (422, "The amount is more than is due"),
    "outcome_not_applicable": (422, "The outcome is none that this can have"),
    "invalid_promotion": (422, "The promotion does not fit together"),
    "time_out_of_range": (422, "A time lies outside what can be kept"),
    "too_many_buckets": (422, "The statistics would have more than 5,000 buckets"),
    "invalid_amount": (422, "The amount can't be used"),
    "invalid_currency": (422, "There is no such currency"),
    "currency_not_supported": (422, "There is no shipping price in this currency"),
    "shipping_method_not_supported": (422, "There is no such shipping method"),
    "idempotency_key_reused": (422, "The Idempotency-Key was used with other content"),
    "discount_not_found": (422, "There is no such discount code"),
    "discount_not_active": (422, "The discount can't be used now"),
    "discount_not_applicable": (422, "The discount does not apply to this order"),
    "discount_exhausted": (422, "The discount is used up"),
    "discount_not_combinable": (422, "The discount can't be combined"),
    "rate_limited": (429, "Too many requests"),
    "order_busy": (429, "Too many requests for one order"),
    "internal_error": (500, "Something is broken on our side"),
    "unavailable": (503, "Not now"),
    "database_unavailable": (503, "The database can't be reached now"),
    "order_set_aside": (503, "The order is set aside until somebody has looked at it"),
    "overloaded": (503, "More than the service can do now"),
    "keys_unavailable": (503, "The keys that tokens are checked with can't be had"),
    "outcome_unknown": (504, "It may have been done or not"),
}

_STATUS_OF: dict[RefusalKind, int] = {
    RefusalKind.INVALID: 400,
    RefusalKind.FORBIDDEN: 403,
    RefusalKind.NOT_FOUND: 404,
    RefusalKind.CONFLICT: 409,
    RefusalKind.STALE: 412,
    RefusalKind.TOO_LARGE: 413,
    RefusalKind.UNPROCESSABLE: 422,
}


class Problem(Exception):
    """Said by the HTTP API itself. ``code`` is one of ``CODES``, which gives the status."""

    def __init__(
        self, code: str, detail: str, *, errors: tuple[FieldError, ...] = (), headers: tuple[Header, ...] = ()
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers


def title_of(code: str) -> str:
    """Give the title of a code; one that is not listed is its own title, in words."""
    known = CODES.get(code)
    return known[1] if known else code.replace("_", " ").capitalize()


def retry_after(seconds: float) -> Header:
    """Whole seconds, rounded up: one at least."""
    return (b"retry-after", b"%d" % max(1, math.ceil(seconds)))


def problem_response(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[FieldError, ...] = (),
    allowed: tuple[str, ...] | None = None,
    current_version: int | None = None,
    headers: tuple[Header, ...] = (),
) -> Response:
    """Make the problem document of RFC 9457, with the request's path and trace id."""
    document = _document(status, code, detail, scope["path"], state_of(scope).trace.trace_id, errors)
    if allowed is not None:
        document["allowed"] = list(allowed)
    if current_version is not None:
        document["current_version"] = current_version
    return _response(status, _encode_any(document), headers)


def _response(status: int, body: bytes, headers: tuple[Header, ...]) -> Response:
    response = Response(body, status, media_type=MEDIA_TYPE)
    response.raw_headers.extend(headers)
    return response


def _encode_any(document: dict[str, object]) -> bytes:
    """Encode a problem with any text in it: texts may repeat what a caller sent, half a character included."""
    try:
        return _encode(document)
    except UnicodeEncodeError:
        return json.dumps(document).encode()


def _document(
    status: int, code: str, detail: str, path: str, trace_id: str, errors: tuple[FieldError, ...]
) -> dict[str, object]:
    return {
        "type": f"urn:ordersvc:problem:{code}",
        "title": title_of(code),
        "status": status,
        "detail": detail,
        "instance": path,
        "code": code,
        "errors": [{"pointer": e.pointer, "code": e.code, "message": e.message} for e in errors],
        "trace_id": trace_id,
    }


class ReadyProblem:
    """A problem that is sent so often that its document is written once; only path and trace id are filled in."""

    __slots__ = ("_headers", "_parts", "_status")

    def __init__(self, problem: Problem) -> None:
        self._status = CODES[problem.code][0]
        # Texts that JSON escapes can't come from anything but our marks.
        path, trace_id = "\x01", "\x02"
        document = _encode(_document(self._status, problem.code, problem.detail, path, trace_id, problem.errors))
        before, _, rest = document.partition(_encode(path))
        between, _, after = rest.partition(_encode(trace_id))
        self._parts = (before, between + b'"', b'"' + after)
        self._headers = problem.headers

    def response(self, scope: Scope) -> Response:
        """The answer to a request: byte for byte what ``response_to`` would make of the problem."""
        before, between, after = self._parts
        trace_id = state_of(scope).trace.trace_id
        body = b"".join((before, _encode(scope["path"]), between, trace_id.encode(), after))
        return _response(self._status, body, self._headers)


async def handle(request: Request, error: Exception) -> Response:
    """FastAPI's exception handler for every kind of error that is known."""
    return response_to(request.scope, error)


def response_to(scope: Scope, error: Exception) -> Response:
    """Turn what was raised into the caller's response; an unforeseen error is logged."""
    match error:
        case Problem():
            status = CODES[error.code][0]
            return problem_response(scope, status, error.code, error.detail, errors=error.errors, headers=error.headers)
        case Refused():
            return problem_response(
                scope,
                _STATUS_OF[error.kind],
                error.code,
                error.detail,
                errors=error.errors,
                allowed=error.allowed,
                current_version=error.current_version,
            )
        case Unavailable():
            # The service has more reasons than clients see: those that are not in the table are one code to them.
            code = error.code if error.code in CODES else "unavailable"
            # Clients don't see the detail either: it may be an exception's text.
            _log.warning("request_unavailable", code=error.code, why=error.detail, **_named(scope))
            status, title = CODES[code]
            return problem_response(scope, status, code, f"{title}.", headers=(retry_after(error.retry_after_s),))
        case OutcomeUnknown():
            _log.warning("request_outcome_unknown", **_named(scope))
            return problem_response(scope, 504, "outcome_unknown", error.detail)
        case StorageUnavailable():
            _log.warning("request_unavailable", code="database_unavailable", why=str(error), **_named(scope))
            detail = "The database can't be reached now."
            return problem_response(scope, 503, "database_unavailable", detail, headers=(retry_after(1.0),))
        case CommitUnknown():
            _log.warning("request_outcome_unknown", **_named(scope))
            return problem_response(scope, 504, "outcome_unknown", "The database did not say; asking again tells.")
        case UndecodableSnapshot():
            detail = "The order's stored form can't be read; somebody has to look at it."
            return problem_response(scope, 503, "order_set_aside", detail, headers=(retry_after(60.0),))
    _log.error("request_failed", exc_info=error, **_named(scope))
    return problem_response(scope, 500, "internal_error", "Something is broken on our side; the trace id finds it.")


def _named(scope: Scope) -> dict[str, str]:
    return {"route": route_of(scope), "trace_id": state_of(scope).trace.trace_id}


KNOWN = (Problem, Refused, Unavailable, OutcomeUnknown, StorageUnavailable, CommitUnknown, UndecodableSnapshot)
