"""The connections between two processes: calls and their results in bytes, and word at once when the other one is gone.

Ray makes, names, places and restarts the processes; what they say to each other goes over a TCP connection between their event loops.
A Ray call costs several threads and a third of a millisecond of CPU, reports a dead actor after a second and of a hung one never
(docs/decisions/0005-calls-over-links.md). Here the connection's end shows a crash, and missed answers to pings show a hang.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from actors.rpc.frames import CALL, FORGET, FRAME_MAX_BYTES, HANDSHAKE, PING, Endpoint, FrameProtocol
from supervised import supervised

log = structlog.get_logger()
CALLS_MAX = 8192


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


class _Calling(FrameProtocol):
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

        Raises ``OSError`` when no process or another one is there, ``TimeoutError`` when there is no answer.
        """
        loop = asyncio.get_running_loop()
        wire = _Calling(self._on_frame, lambda: self.close("ended"))
        try:
            async with asyncio.timeout(within_s or self._silence_max_s):
                await loop.create_connection(lambda: wire, self.endpoint.host, self.endpoint.port)
                wire.send((HANDSHAKE, self.endpoint.secret))
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
