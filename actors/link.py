"""The connections between two processes: calls and their results in bytes, and word at once when the other one is gone.

Ray makes, names, places and restarts the processes; what they say to each other goes over a TCP connection between their event loops.
A Ray call costs several threads and a third of a millisecond of CPU, tells of a dead actor after a second and of a hung one never
(docs/decisions/0005-calls-over-links.md). Here the connection's end tells of a crash, and missed answers to pings tell of a hang.

A frame is four bytes of length and a MessagePack array. The frames of one turn of the event loop go out in one write:

    client: ``[0, secret]`` · ``[1]`` ping · ``[2, number, method, arguments]`` · ``[3, number]`` the result is not awaited any more
    server: ``[1]`` pong · ``[4, number, result]`` · ``[5, number, error]``
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import msgspec
import structlog

from supervised import supervised, supervised_once

log = structlog.get_logger()

HELLO, PING, CALL, FORGET, RESULT, ERROR = range(6)
FIRST_FRAME_MAX_BYTES = 512
FRAME_MAX_BYTES = 64 * 1024 * 1024
CALLS_MAX = 8192
SERVED_CALLS_MAX = 65_536  # of one client: no setting of its own bound is larger

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


@dataclass(frozen=True, slots=True)
class AnsweredLater:
    """A method that gets, before its arguments, the function to which it hands its result, now or later, once. It needs no task."""

    begin: Callable[..., None]


Methods = Mapping[str, Callable[..., Any] | AnsweredLater]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a process listens for connections, and the secret that opens them; see ``directory.py``."""

    host: str
    port: int
    secret: str
    pid: int


class CallFailed(Exception):
    """The other process was asked and its method raised; the text says what."""


class ProcessGone(Exception):
    """The process died, hangs, or was never there. ``sent``: the call may have reached it before."""

    def __init__(self, name: str, why: str, *, sent: bool) -> None:
        super().__init__(f"{name}: {why}")
        self.sent = sent


class TooManyCalls(ProcessGone):
    """As many calls as may be wait for their results on this connection; this one was not sent."""

    def __init__(self, name: str, calls_max: int) -> None:
        super().__init__(name, f"{calls_max} calls wait already", sent=False)


class _Wire(asyncio.Protocol):
    """One end of a connection: whole frames in, frames out, those of one turn of the loop in one write."""

    def __init__(self, frame_max_bytes: int) -> None:
        self.frame_max_bytes = frame_max_bytes
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes; they only look alike.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= 4:  # noqa: PLR2004 - the four bytes of the length
                length = int.from_bytes(data[at : at + 4], "big")
                self._check_length(length)
                if end - at - 4 < length:
                    break
                at += 4 + length
                self.frame(_decode(memoryview(data)[at - length : at]))
        except (ValueError, TypeError, IndexError, msgspec.MsgspecError) as error:
            log.warning("link_misused", error=str(error))
            self.close()
            return
        self._rest = data[at:] if at < end else b""

    def _check_length(self, length: int) -> None:
        if length > self.frame_max_bytes:
            raise ValueError(f"a frame of {length} bytes, {self.frame_max_bytes} are read at most")

    def frame(self, frame: list[Any]) -> None:
        """Take a frame in."""
        raise NotImplementedError

    def send(self, frame: tuple[Any, ...]) -> None:
        """Write a frame with whatever else is written in this turn of the loop."""
        data = _encode(frame)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(len(data).to_bytes(4, "big"))
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(out)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


class RpcServer:
    """Lets other processes call ``methods`` by name, on this process's event loop. Their arguments and results are what
    MessagePack can carry: texts, numbers, bytes, lists, maps, None.
    """

    def __init__(self, host: str, methods: Methods, secret: str) -> None:
        self._host = host
        self._methods = methods
        self._secret = secret
        self._server: asyncio.Server | None = None

    async def start(self, pid: int) -> Endpoint:
        """Listen on a free port of ``host``."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Served(self._secret, self._methods), self._host, 0)
        port = int(self._server.sockets[0].getsockname()[1])
        return Endpoint(self._host, port, self._secret, pid)

    async def stop(self) -> None:
        """Listen no more; the ends of the connections tell the others."""
        if self._server is not None:
            self._server.close()


class _Served(_Wire):
    """The server's end: nothing is done for a client that has not shown the secret."""

    def __init__(self, secret: str, methods: Methods) -> None:
        super().__init__(FIRST_FRAME_MAX_BYTES)
        self._secret = secret
        self._methods = methods
        self._is_known = False
        self._under_way: dict[int, asyncio.Task[None] | None] = {}

    def frame(self, frame: list[Any]) -> None:
        if not self._is_known:
            if frame[0] != HELLO or not hmac.compare_digest(str(frame[1]), self._secret):
                raise ValueError("the secret is another one")
            self._is_known = True
            self.frame_max_bytes = FRAME_MAX_BYTES
            return
        match frame:
            case [2, number, method, arguments]:
                self._call(number, method, arguments)
            case [1]:
                self.send((PING,))
            case [3, number]:
                task = self._under_way.pop(number, None)
                if task is not None:
                    task.cancel()
            case _:
                raise ValueError(f"no frame begins with {frame[0]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        for task in self._under_way.values():
            if task is not None:
                task.cancel()
        self._under_way.clear()

    def _call(self, number: int, name: str, arguments: list[Any]) -> None:
        """Call a method. Only one that is a coroutine gets a task."""
        method = self._methods.get(name)
        if method is None:
            self.send((ERROR, number, f"there is no method {name}"))
            return
        if len(self._under_way) >= SERVED_CALLS_MAX:
            self.send((ERROR, number, f"{SERVED_CALLS_MAX} calls are under way already"))
            return
        self._under_way[number] = None
        try:
            if isinstance(method, AnsweredLater):
                method.begin(partial(self._answer, number), *arguments)
            elif inspect.iscoroutinefunction(method):
                self._under_way[number] = supervised_once(
                    "rpc-call", self._run(number, name, method, arguments), method=name
                )
            else:
                self._answer(number, method(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._fail(number, name, error)

    async def _run(self, number: int, name: str, method: Callable[..., Awaitable[Any]], arguments: list[Any]) -> None:
        try:
            self._answer(number, await method(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._fail(number, name, error)

    def _answer(self, number: int, result: Any) -> None:
        """Send the result of a call, unless it has one already, or is not awaited any more."""
        if number in self._under_way:
            try:
                self.send((RESULT, number, result))
            except Exception as error:  # noqa: BLE001 - what can't be encoded is told to its own caller
                self._fail(number, "", error)
            self._under_way.pop(number, None)

    def _fail(self, number: int, name: str, error: Exception) -> None:
        log.error("call_failed", method=name, exc_info=error)
        if number in self._under_way:
            del self._under_way[number]
            # An error may quote what could not be encoded, and would not be encodable itself.
            self.send((ERROR, number, f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()))


class _Calling(_Wire):
    """The client's end."""

    def __init__(self, on_frame: Callable[[list[Any]], None], on_end: Callable[[], None]) -> None:
        super().__init__(FRAME_MAX_BYTES)
        self._on_frame = on_frame
        self._on_end = on_end

    def frame(self, frame: list[Any]) -> None:
        self._on_frame(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._on_end()


class RpcConnection:
    """The client's end. ``lost`` is done as soon as the other process is gone or hangs; it then says how.

    ``name``: what the other process is called. ``calls_max``: so many calls may wait for their results.
    """

    def __init__(
        self, name: str, endpoint: Endpoint, *, ping_every_s: float, pings_missed_max: int, calls_max: int = CALLS_MAX
    ) -> None:
        self.endpoint = endpoint
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._name = name
        self.calls_max = calls_max
        self._ping_every_s = ping_every_s
        self._silence_max_s = ping_every_s * pings_missed_max
        self._wire: _Calling | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._heard_s = 0.0
        self._number = 0
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._answered = asyncio.Event()

    async def open(self, within_s: float | None = None) -> None:
        """Connect, and wait for the first answer: the kernel takes connections for a process that hangs, too. ``within_s`` is
        the silence that ends a connection where it is not given.

        Raises ``OSError`` when nobody is there or it is another process, ``TimeoutError`` when nobody answers.
        """
        loop = asyncio.get_running_loop()
        wire = _Calling(self._on_frame, lambda: self.close("ended"))
        try:
            async with asyncio.timeout(within_s or self._silence_max_s):
                await loop.create_connection(lambda: wire, self.endpoint.host, self.endpoint.port)
                wire.send((HELLO, self.endpoint.secret))
                wire.send((PING,))
                await self._answered.wait()
        except BaseException:
            wire.close()
            raise
        if self.lost.done():
            raise ConnectionResetError(self.lost.result())
        self._wire = wire
        self._heard_s = loop.time()
        self._pinging = supervised("rpc-pings", lambda: self._ping(wire))

    def close(self, why: str = "closed") -> None:
        """Give up; ``lost`` is done with the reason, and the calls that wait fail with ``ProcessGone``."""
        if not self.lost.done():
            self.lost.set_result(why)
        self._answered.set()
        if self._pinging is not None:
            self._pinging.cancel()
        if self._wire is not None:
            self._wire.close()
        for result in self._calls.values():
            if not result.done():
                result.set_exception(ProcessGone(self._name, why, sent=True))
        self._calls.clear()

    async def call(self, method: str, *arguments: object, ends_s: float | None = None) -> Any:
        """Call a method of the other process and wait for its result, until the event loop's clock says ``ends_s``.

        Raises ``CallFailed``, ``ProcessGone``, ``TooManyCalls``, and ``TimeoutError``.
        """
        result = self.send(method, *arguments)
        number = self._number
        timer = None if ends_s is None else asyncio.get_running_loop().call_at(ends_s, _expire, result)
        try:
            return await result
        except (asyncio.CancelledError, TimeoutError):
            if self._calls.pop(number, None) is not None and self._wire is not None:
                self._wire.send((FORGET, number))
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def send(self, method: str, *arguments: object) -> asyncio.Future[Any]:
        """Send a call, and give the future of its result, which fails with ``CallFailed`` or ``ProcessGone``.

        Raises ``ProcessGone`` and ``TooManyCalls``: nothing was sent.
        """
        if self._wire is None or self.lost.done():
            raise ProcessGone(self._name, "not there", sent=False)
        if len(self._calls) >= self.calls_max:
            raise TooManyCalls(self._name, self.calls_max)
        self._number += 1
        self._wire.send((CALL, self._number, method, arguments))  # may raise: nothing was sent then
        result = self._calls[self._number] = asyncio.get_running_loop().create_future()
        return result

    def _on_frame(self, frame: list[Any]) -> None:
        self._answered.set()
        match frame:
            case [4, number, value]:
                result = self._calls.pop(number, None)
                if result is not None and not result.done():
                    result.set_result(value)
            case [5, number, error]:
                result = self._calls.pop(number, None)
                if result is not None and not result.done():
                    result.set_exception(CallFailed(error))
        self._heard_s = asyncio.get_running_loop().time()

    async def _ping(self, wire: _Calling) -> None:
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        while True:
            wire.send((PING,))
            await asyncio.sleep(self._ping_every_s)
            # A loop that was itself held up must not call the other one hung: only time in which we could listen counts.
            held_up_s = loop.time() - asked_s - self._ping_every_s
            if held_up_s > self._ping_every_s:
                self._heard_s += held_up_s
            asked_s = loop.time()
            if loop.time() - self._heard_s > self._silence_max_s:
                self.close("silent")


def _expire(result: asyncio.Future[Any]) -> None:
    # A timer of its own costs a tenth of what asyncio.timeout does.
    if not result.done():
        result.set_exception(TimeoutError())
