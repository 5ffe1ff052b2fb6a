"""What travels together is read apart: one that a reader does not know costs nobody else an answer."""

from __future__ import annotations

import asyncio

import msgspec

from actors.posting import Batch
from actors.wire import Told, Unreadable, decode_calls, decode_letters, encode_call, encode_letter, join
from domain.calls import Call, FetchCustomer
from domain.commands import Actor, ActorType, Message, Wake
from domain.errors import Unavailable

MESSAGE = Message(id="m", body=Wake(), actor=Actor(ActorType.TIMER, "t"))
CALL = Call(order_id="o", key="k", attempt=1, request=FetchCustomer("c"))


def of_a_later_release(encoded: msgspec.Raw, kind: str) -> msgspec.Raw:
    """The same, but of a kind that this release does not know."""
    fields = msgspec.msgpack.decode(encoded)
    fields[fields.index(kind)] = "Unheard"
    return msgspec.Raw(msgspec.msgpack.encode(fields))


async def test_a_letter_that_cannot_be_read_is_told_so_and_its_neighbours_are_read() -> None:
    good = encode_letter("o", MESSAGE)
    letters = decode_letters(join([good, of_a_later_release(good, "Wake"), good]))
    assert letters == [("o", MESSAGE), Unreadable("KeyError"), ("o", MESSAGE)]
    batch = Batch(letters)
    assert [letter.position for letter in batch.letters] == [0, 2]
    told = dict(await batch.answers(0.0, None, 60.0))
    assert sorted(told) == [0, 1, 2]
    assert isinstance(told[1], Unavailable)
    assert told[1].code == "order_failed"


def test_a_call_that_cannot_be_read_leaves_its_neighbours_to_be_made() -> None:
    good = encode_call(CALL)
    calls = decode_calls(join([of_a_later_release(good, "FetchCustomer"), good]))
    assert calls == [Unreadable("KeyError"), CALL]


async def test_what_is_said_ahead_and_fails_does_not_end_the_saying() -> None:
    """The timer that says ahead what is there was not set again after an answer that could not be encoded."""
    batch = Batch([("o", MESSAGE), ("p", MESSAGE)])
    said: asyncio.Queue[int] = asyncio.Queue()

    def say(told: list[tuple[int, Told]]) -> None:
        said.put_nowait(told[0][0])
        raise ValueError("not encodable")

    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    waiting = asyncio.create_task(batch.answers(60.0, say, 0.0))
    async with asyncio.timeout(5):
        for letter in tuple(batch.letters):
            letter.tell(Unavailable("a", "b"))
            if letter.position == 0:
                assert await said.get() == 0
        await waiting
