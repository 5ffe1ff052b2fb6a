import asyncio

import pytest

from benchmarks.client import Response
from benchmarks.tallied import Patient, created_order

DONE = Response(201, {}, b"")
NOT_NOW = Response(503, {"retry-after": "2"}, b"")


class Told:
    """Gives these answers, one after the other, and notes when it was asked."""

    def __init__(self, *answers: Response) -> None:
        self._answers = list(answers)
        self.asked_s: list[float] = []

    async def send(self, request: bytes) -> Response:
        self.asked_s.append(asyncio.get_running_loop().time())
        return self._answers.pop(0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("benchmarks.tallied.asyncio.sleep", sleep)
    return waited


async def test_who_is_told_not_now_comes_again_no_sooner_than_told(waits: list[float]) -> None:
    server = Told(NOT_NOW, NOT_NOW, DONE)
    assert await Patient(server, patience_s=60).send(b"") == DONE
    assert len(waits) == 2
    assert all(seconds >= 2 for seconds in waits)


async def test_patience_ends_with_the_last_answer(waits: list[float]) -> None:
    assert await Patient(Told(NOT_NOW), patience_s=1).send(b"") == NOT_NOW
    assert not waits


@pytest.mark.parametrize("status", [0, 409, 504])
async def test_what_is_no_not_now_is_not_asked_again(status: int, waits: list[float]) -> None:
    answer = Response(status, {}, b"")
    assert await Patient(Told(answer), patience_s=60).send(b"") == answer
    assert not waits


@pytest.mark.parametrize(
    ("location", "order_id"),
    [("/api/orders/one", "one"), ("/api/orders/one/payments/two", ""), ("", "")],
)
def test_only_a_creation_promises_an_order(location: str, order_id: str) -> None:
    assert created_order(Response(201, {"location": location} if location else {}, b"")) == order_id
