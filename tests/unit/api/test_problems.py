from __future__ import annotations

import json

import pytest

from api.exchange import Incoming
from api.problems import Problem, ReadyProblem, answer_to, retry_after
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused

TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01".encode()
PROBLEM = Problem(
    "overloaded", "Not now.", errors=(FieldError("/a", "b", "c"),), headers=(retry_after(1.0), (b"x-more", b"1"))
)


def asked(path: str) -> Incoming:
    async def receive() -> dict[str, object]:
        raise AssertionError("it is told unread")

    return Incoming({"method": "POST", "path": path, "headers": [(b"traceparent", TRACEPARENT)]}, receive)


@pytest.mark.parametrize("path", ["/api/orders", '/a"b\\c', "/\x01/\x02", "/é/\u2028"])
def test_a_ready_problem_is_what_would_be_made_of_it(path: str) -> None:
    ready = ReadyProblem(PROBLEM)
    for _ in range(2):  # what one request adds to its headers is not told to the next
        told, made = ready.answer(asked(path)), answer_to(asked(path), PROBLEM)
        assert (told.status, told.body, told.headers) == (made.status, made.body, made.headers)
        told.headers.append((b"idempotent-replayed", b"true"))
    assert json.loads(told.body)["instance"] == path


def test_each_request_has_its_own_trace() -> None:
    ready = ReadyProblem(PROBLEM)
    first, second = (ready.answer(Incoming({"path": "/", "headers": []}, asked("/")._receive)) for _ in range(2))
    assert json.loads(first.body)["trace_id"] != json.loads(second.body)["trace_id"]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc80" * 1000, "\0", "\ud83d\ude00"])
def test_a_problem_is_told_whatever_its_texts_hold(text: str) -> None:
    """They may repeat what a caller sent: half a character made a problem that could not be written, and a bare 500 of it."""
    fault = FieldError(text, "c", text)
    for error in (
        Problem("invalid_token", text, errors=(fault,)),
        Refused(RefusalKind.NOT_FOUND, "order_not_found", text, errors=(fault,)),
        OutcomeUnknown(text),
    ):
        answer = answer_to(asked("/a"), error)
        assert json.loads(answer.body)["detail"] == json.loads(json.dumps(text))
