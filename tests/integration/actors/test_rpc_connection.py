"""Frames between processes: whole, in order, bounded, and only for who knows the secret."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from actors.rpc import frames
from actors.rpc.connection import CallFailed, ProcessGone, RpcConnection, TooManyCalls
from actors.rpc.server import AnsweredLater, RpcServer

SECRET = "a secret of this process"
PONG = b"\x00\x00\x00\x02\x91\x01"


class Methods:
    """What the other process can be asked."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.answers: dict[str, Callable[[str], None]] = {}

    def double(self, number: int) -> int:
        return 2 * number

    async def wait(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "opened"

    def echo(self, data: bytes) -> bytes:
        return data

    def later(self, answer: Callable[[str], None], word: str) -> None:
        self.answers[word] = answer

    def broken(self) -> None:
        raise ZeroDivisionError("by nothing")

    def quoting(self) -> None:
        raise ValueError("it quotes \ud800")

    def unencodable(self) -> str:
        return "\ud800"


@pytest.fixture
async def methods() -> Methods:
    return Methods()


@pytest.fixture
async def link(methods: Methods) -> AsyncIterator[RpcConnection]:
    table = {name: getattr(methods, name) for name in ("double", "wait", "echo", "broken", "quoting", "unencodable")}
    server = RpcServer("127.0.0.1", {**table, "later": AnsweredLater(methods.later)}, SECRET)
    link = RpcConnection("other", await server.start(os.getpid()), ping_every_s=30, pings_missed_max=3)
    await link.open()
    yield link
    link.close()
    await server.stop()


async def test_a_call_that_is_answered_later_gets_its_first_answer_and_holds_up_no_other(
    link: RpcConnection, methods: Methods
) -> None:
    async with asyncio.timeout(5):
        results = [link.send("later", word) for word in ("a", "b")]
        assert await link.call("double", 4) == 8
        methods.answers["b"]("second")
        assert await results[1] == "second"
        methods.answers["b"]("again")
        methods.answers["a"]("first")
        assert await results[0] == "first"


async def test_an_answer_that_is_not_awaited_any_more_is_dropped(link: RpcConnection, methods: Methods) -> None:
    async with asyncio.timeout(5):
        task = asyncio.create_task(link.call("later", "a"))
        await link.call("double", 1)
        task.cancel()
        await asyncio.wait([task])
        await link.call("double", 1)
        methods.answers["a"]("too late")
        assert await link.call("double", 4) == 8


async def test_an_answer_that_comes_later_and_cannot_be_encoded_is_a_failed_call(
    link: RpcConnection, methods: Methods
) -> None:
    async with asyncio.timeout(5):
        result = link.send("later", "a")
        await link.call("double", 1)
        methods.answers["a"]("\ud800")
        with pytest.raises(CallFailed):
            await result


async def test_many_calls_at_once_get_their_own_results(link: RpcConnection) -> None:
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(link.call("double", n) for n in range(500))) == [2 * n for n in range(500)]


async def test_a_slow_call_holds_up_no_other(link: RpcConnection, methods: Methods) -> None:
    async with asyncio.timeout(5):
        slow = asyncio.create_task(link.call("wait"))
        assert await link.call("double", 4) == 8
        methods.gate.set()
        assert await slow == "opened"


async def test_a_large_frame_arrives_whole(link: RpcConnection) -> None:
    data = os.urandom(3_000_000)
    async with asyncio.timeout(5):
        assert await link.call("echo", data) == data


async def test_a_method_that_fails_and_one_that_does_not_exist_are_told(link: RpcConnection) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(CallFailed, match="by nothing"):
            await link.call("broken")
        with pytest.raises(CallFailed, match="no method"):
            await link.call("unheard_of")


async def test_a_caller_that_gives_up_ends_the_call_there(link: RpcConnection, methods: Methods) -> None:
    async with asyncio.timeout(5):
        task = asyncio.create_task(link.call("wait"))
        await link.call("double", 1)
        task.cancel()
        await asyncio.wait([task])
        await link.call("double", 1)
        while not methods.cancelled:
            await asyncio.sleep(0)


async def test_a_call_whose_time_is_over_ends_here_and_there(link: RpcConnection, methods: Methods) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await link.call("wait", ends_s=asyncio.get_running_loop().time())
        while not methods.cancelled:
            await link.call("double", 1)
    assert link._calls == {}


async def test_the_end_of_the_other_process_ends_the_calls_at_once(link: RpcConnection) -> None:
    async with asyncio.timeout(5):
        task = asyncio.create_task(link.call("wait"))
        await link.call("double", 1)
        link.close("ended")
        with pytest.raises(ProcessGone) as under_way:
            await task
        assert under_way.value.sent
        assert link.lost.result() == "ended"
        with pytest.raises(ProcessGone) as afterwards:
            await link.call("double", 1)
        assert not afterwards.value.sent


async def test_without_the_secret_the_connection_is_closed_and_nothing_is_done(link: RpcConnection) -> None:
    reader, writer = await asyncio.open_connection(link.endpoint.host, link.endpoint.port)
    async with asyncio.timeout(5):
        writer.write((10).to_bytes(4, "big") + b"\x92\x00\xa7nothing")
        assert await reader.read() == b""
    writer.close()


async def test_a_stranger_cannot_make_it_wait_for_a_huge_frame(link: RpcConnection) -> None:
    reader, writer = await asyncio.open_connection(link.endpoint.host, link.endpoint.port)
    async with asyncio.timeout(5):
        writer.write((1_000_000).to_bytes(4, "big"))
        assert await reader.read() == b""
    writer.close()


async def test_no_more_calls_wait_than_may(link: RpcConnection) -> None:
    link.calls_max = 2
    async with asyncio.timeout(5):
        waiting = [asyncio.create_task(link.call("wait")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyCalls):
            await link.call("double", 1)
        for task in waiting:
            task.cancel()


async def test_silence_is_told_as_such() -> None:
    def answer_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PONG)

    silent = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    endpoint = frames.Endpoint("127.0.0.1", silent.sockets[0].getsockname()[1], "x", 1)
    link = RpcConnection("other", endpoint, ping_every_s=0.01, pings_missed_max=3)
    await link.open(within_s=5)
    async with asyncio.timeout(5):
        assert await link.lost == "silent"
    silent.close()


@pytest.mark.parametrize("within_s", [None, 0.01])
async def test_a_process_that_takes_the_connection_and_does_not_answer_is_not_there(within_s: float | None) -> None:
    """The kernel takes connections for a process that is frozen: it was found again as soon as it had been lost."""
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    endpoint = frames.Endpoint("127.0.0.1", silent.sockets[0].getsockname()[1], "x", 1)
    link = RpcConnection("other", endpoint, ping_every_s=0.01, pings_missed_max=3)
    with pytest.raises(TimeoutError):
        await link.open(within_s)
    with pytest.raises(ProcessGone):
        await link.call("double", 1)
    silent.close()


async def test_another_process_on_the_same_port_is_not_taken_for_the_one_that_was_there(link: RpcConnection) -> None:
    """The rows of the directory outlive their processes, and the kernel gives their ports to others."""
    earlier = replace(link.endpoint, secret="of an earlier process")
    with pytest.raises(ConnectionError):
        await RpcConnection("other", earlier, ping_every_s=30, pings_missed_max=3).open()


@pytest.mark.parametrize("method", ["quoting", "unencodable"])
async def test_an_answer_that_cannot_be_encoded_is_a_failed_call_and_the_others_are_answered(
    link: RpcConnection, method: str
) -> None:
    """The error that was to be told quoted what could not be encoded: telling it broke the link, and every call on it was lost."""
    waiting = asyncio.create_task(link.call("double", 3))
    with pytest.raises(CallFailed):
        await link.call(method)
    assert (await waiting, await link.call("double", 4)) == (6, 8)


async def test_arguments_that_cannot_be_encoded_are_the_callers_and_nothing_is_kept_of_the_call(
    link: RpcConnection,
) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        await link.call("double", "\ud800")
    assert link._calls == {}
    assert await link.call("double", 4) == 8
