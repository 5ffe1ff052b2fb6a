from __future__ import annotations

import json

import pytest
from starlette.types import Scope

from api.http.load_shedding import Load
from api.http.request_state import KEY, RequestState
from api.problems import Problem, ReadyProblem, response_to, retry_after
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused

TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01".encode()
PROBLEM = Problem(
    "overloaded", "Not now.", errors=(FieldError("/a", "b", "c"),), headers=(retry_after(1.0), (b"x-more", b"1"))
)


def a_request(path: str, headers: tuple[tuple[bytes, bytes], ...] = ((b"traceparent", TRACEPARENT),)) -> Scope:
    scope: Scope = {"method": "POST", "path": path, "headers": headers}
    scope[KEY] = RequestState(scope, Load(1))
    return scope


@pytest.mark.parametrize("path", ["/api/orders", '/a"b\\c', "/\x01/\x02", "/é/\u2028"])
def test_a_ready_problem_is_what_would_be_made_of_it(path: str) -> None:
    ready = ReadyProblem(PROBLEM)
    for _ in range(2):  # what one request adds to its headers is not told to the next
        told, made = ready.response(a_request(path)), response_to(a_request(path), PROBLEM)
        assert (told.status_code, told.body, told.raw_headers) == (made.status_code, made.body, made.raw_headers)
        told.raw_headers.append((b"idempotent-replayed", b"true"))
    assert json.loads(bytes(told.body))["instance"] == path


def test_each_request_has_its_own_trace() -> None:
    ready = ReadyProblem(PROBLEM)
    first, second = (ready.response(a_request("/", ())) for _ in range(2))
    assert json.loads(bytes(first.body))["trace_id"] != json.loads(bytes(second.body))["trace_id"]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc80" * 1000, "\0", "\ud83d\ude00"])
def test_a_problem_is_told_whatever_its_texts_hold(text: str) -> None:
    """They may repeat what a caller sent: half a character made a problem that could not be written, and a bare 500 of it."""
    fault = FieldError(text, "c", text)
    for error in (
        Problem("invalid_token", text, errors=(fault,)),
        Refused(RefusalKind.NOT_FOUND, "order_not_found", text, errors=(fault,)),
        OutcomeUnknown(text),
    ):
        response = response_to(a_request("/a"), error)
        assert json.loads(bytes(response.body))["detail"] == json.loads(json.dumps(text))
