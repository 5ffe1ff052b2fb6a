import asyncio
import itertools
import time

import pytest

from benchmarks.client import BROKEN, Response
from benchmarks.probing import NothingAnsweredError, until_answered

DONE = Response(200, {}, b'{"version":7}')
NOT_NOW = Response(503, {}, b"")
PROBES = tuple((f"order-{n}", b"") for n in range(1000))


class Recovering:
    """Answers the first requests with these, and then that it is done."""

    def __init__(self, *first: Response) -> None:
        self._answers = itertools.chain(first, itertools.repeat(DONE))

    async def send(self, _: bytes) -> Response:
        return next(self._answers)


async def test_refusals_and_broken_connections_do_not_count_as_answers() -> None:
    began_s = time.monotonic()
    probed = await until_answered(Recovering(NOT_NOW, BROKEN), iter(PROBES), began_s, 10)
    assert probed.statuses == {503: 1, 0: 1, 200: 1}
    assert probed.promised == [("order-2", 7)]
    assert 0 < probed.seconds <= time.monotonic() - began_s


async def test_the_time_begins_when_it_happened_and_not_with_the_first_question() -> None:
    probed = await until_answered(Recovering(), iter(PROBES), time.monotonic() - 5, 10)
    assert probed.seconds >= 5


async def test_those_still_on_their_way_are_waited_for_and_what_they_promise_is_kept() -> None:
    free = asyncio.Event()

    class Stuck:
        def __init__(self) -> None:
            self._asked = 0

        async def send(self, _: bytes) -> Response:
            self._asked += 1
            if self._asked == 1:
                await free.wait()
            else:
                free.set()
            return DONE

    probed = await until_answered(Stuck(), iter(PROBES), time.monotonic(), 10)
    assert sorted(probed.promised) == [("order-0", 7), ("order-1", 7)]


async def test_no_success_in_time_is_an_error_that_says_what_came_instead() -> None:
    with pytest.raises(NothingAnsweredError, match="503"):
        await until_answered(Recovering(*[NOT_NOW] * 10), iter(PROBES[:3]), time.monotonic(), 10)
