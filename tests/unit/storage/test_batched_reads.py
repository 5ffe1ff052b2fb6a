from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from storage.batched_reads import BatchedReader
from storage.errors import StorageUnavailable


class Slow:
    """A database whose answers are given when the test says so."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answers: list[asyncio.Future[dict[str, str]]] = []

    async def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_asked_while_a_query_is_under_way_goes_with_the_next() -> None:
    slow = Slow()
    reader: BatchedReader[str] = BatchedReader(slow.read, queries_in_flight_max=1)
    first = asyncio.create_task(reader.get("a"))
    await turns()
    others = [asyncio.create_task(reader.get(key)) for key in ("b", "c", "b", "a")]
    await turns()
    assert slow.asked == [["a"]]
    slow.answers[0].set_result({"a": "old"})
    await turns()
    assert slow.asked == [["a"], ["b", "c", "a"]]
    slow.answers[1].set_result({"b": "B", "a": "new"})
    assert await first == "old"
    assert await asyncio.gather(*others) == ["B", None, "B", "new"]


async def test_a_failed_query_fails_those_who_wait_for_it_and_no_others() -> None:
    slow = Slow()
    reader: BatchedReader[str] = BatchedReader(slow.read, queries_in_flight_max=1)
    first, second = (asyncio.create_task(reader.get("a")) for _ in range(2))
    await turns()
    later = asyncio.create_task(reader.get("b"))
    await turns()
    slow.answers[0].set_exception(StorageUnavailable("away"))
    await turns()
    slow.answers[1].set_result({"b": "B"})
    for failed in (first, second):
        with pytest.raises(StorageUnavailable):
            await failed
    assert await later == "B"


async def test_a_batch_and_those_who_wait_are_bounded() -> None:
    slow = Slow()
    reader: BatchedReader[str] = BatchedReader(slow.read, batch_max_keys=2, queries_in_flight_max=1, waiting_max_keys=3)
    asked = [asyncio.create_task(reader.get("first"))]
    await turns()
    asked += [asyncio.create_task(reader.get(key)) for key in "abc"]
    await turns()
    with pytest.raises(StorageUnavailable):
        await reader.get("d")
    for n, keys in enumerate((["first"], ["a", "b"], ["c"])):
        await turns()
        assert slow.asked[n] == keys
        slow.answers[n].set_result({key: key for key in keys})
    assert await asyncio.gather(*asked) == ["first", "a", "b", "c"]


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    slow = Slow()
    reader: BatchedReader[str] = BatchedReader(slow.read)
    impatient, patient = (asyncio.create_task(reader.get("a")) for _ in range(2))
    await turns()
    impatient.cancel()
    await turns()
    slow.answers[0].set_result({"a": "A"})
    assert await patient == "A"
