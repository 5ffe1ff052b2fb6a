"""Batches of letters: what is there is said ahead, each letter is told once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import weakref

from actors.posting import Batch
from actors.replies import Reply
from actors.wire import Moved, Told
from domain.commands import Actor, ActorType, Message, Wake
from domain.errors import OutcomeUnknown

FIRST, SECOND = Reply(document=b"1", version=1), Reply(document=b"2", version=2)
AT_ONCE_S = 0.0
LONG_S = 60.0


def a_batch(size: int) -> Batch:
    return Batch(
        [(f"o-{n}", Message(id=f"m-{n}", body=Wake(), actor=Actor(ActorType.TIMER, "t"))) for n in range(size)]
    )


async def test_what_is_told_before_anybody_waits_is_given_with_its_place() -> None:
    batch = a_batch(2)
    batch.letters[1].tell(SECOND)
    batch.letters[0].tell(FIRST)
    assert sorted(await batch.answers(LONG_S, None, LONG_S), key=lambda each: each[0]) == [(0, FIRST), (1, SECOND)]


async def test_a_letter_that_waits_does_not_hold_up_its_neighbour() -> None:
    batch = a_batch(2)
    said: asyncio.Queue[list[tuple[int, Told]]] = asyncio.Queue()
    waiting = asyncio.create_task(batch.answers(LONG_S, said.put_nowait, AT_ONCE_S))
    batch.letters[1].tell(SECOND)
    async with asyncio.timeout(5):
        assert await said.get() == [(1, SECOND)]
    assert not waiting.done()
    batch.letters[0].tell(FIRST)
    rest = await waiting
    told = rest or await said.get()
    assert told == [(0, FIRST)]


async def test_the_first_answer_counts() -> None:
    batch = a_batch(1)
    batch.letters[0].tell(FIRST)
    batch.letters[0].tell(Moved(""))
    assert await batch.answers(LONG_S, None, LONG_S) == [(0, FIRST)]


async def test_who_is_not_told_in_time_hears_that_nobody_knows() -> None:
    batch = a_batch(2)
    batch.letters[0].tell(FIRST)
    told = dict(await batch.answers(AT_ONCE_S, None, LONG_S))
    assert told[0] == FIRST
    assert isinstance(told[1], OutcomeUnknown)


async def test_a_batch_that_was_answered_leaves_the_garbage_collector_nothing_to_find() -> None:
    batch = a_batch(2)
    seen = weakref.ref(batch)

    def say(told: list[tuple[int, Told]]) -> None:
        assert told == [(0, FIRST)]
        if (waiting := seen()) is not None:
            waiting.letters[1].tell(SECOND)

    gc.disable()
    try:
        batch.letters[0].tell(FIRST)
        assert await batch.answers(LONG_S, say, AT_ONCE_S) == [(1, SECOND)]
        del batch
        await asyncio.sleep(0)  # what was called last is held until the next turn
        assert seen() is None
    finally:
        gc.enable()
