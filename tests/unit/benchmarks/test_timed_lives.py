"""A life's operations as a service of the contract may answer them: at once, or only after looking again."""

from __future__ import annotations

import json

from benchmarks.client import Response
from benchmarks.timed_lives import OPERATIONS, TimedLives


class Answers:
    """Answers each request with the next status of the order; ``shown`` are those of reads."""

    def __init__(
        self, *, created: str = "validated", shown: tuple[str, ...] = ("prepared",), ended: str = "delivered"
    ) -> None:
        self.requests: list[bytes] = []
        self._created = created
        self._shown = list(shown)
        self._ended = ended

    async def send(self, request: bytes) -> Response:
        line = request.split(b"\r\n", 1)[0]
        self.requests.append(line)
        if line.startswith(b"GET"):
            return answer(200, self._shown.pop(0))
        if line.startswith(b"PUT"):
            return answer(200, self._ended if b"delivered" in request else "shipped")
        return answer(201, "confirmed" if b"/payments" in line else self._created)


def answer(status: int, order_status: str) -> Response:
    return Response(status, {"location": "/api/orders/one"}, json.dumps({"status": order_status}).encode())


async def live(answers: Answers) -> tuple[str, TimedLives]:
    lives = TimedLives(answers, "token")
    lives.begin()
    return await lives.life_from(100)(0), lives


async def test_each_operation_of_a_life_is_timed_once() -> None:
    name, lives = await live(Answers())
    assert name == "life"
    assert {operation: len(samples) for operation, samples in lives.latencies_s.items()} == dict.fromkeys(OPERATIONS, 1)
    assert set(lives.delivered_at_s) == {"one"}


async def test_an_order_is_looked_at_until_it_is_validated_and_prepared() -> None:
    name, lives = await live(Answers(created="created", shown=("created", "validated", "confirmed", "prepared")))
    assert name == "life"
    assert len(lives.latencies_s["read"]) == 4
    assert len(lives.latencies_s["create"]) == len(lives.latencies_s["pay"]) == 1


async def test_a_cancelled_order_ends_its_life_early_and_says_where() -> None:
    name, lives = await live(Answers(created="cancelled"))
    assert name == ""
    assert list(lives.refusals) == ["create: the order is cancelled"]
    assert lives.latencies_s["create"] == []


async def test_a_life_that_is_not_delivered_does_not_count() -> None:
    name, lives = await live(Answers(ended="shipped"))
    assert name == ""
    assert not lives.delivered_at_s
