"""The end of a connection that is called: methods by name, on the event loop of the process that offers them."""

from __future__ import annotations

import asyncio
import hmac
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from actors.rpc.frames import (
    ERROR,
    FIRST_FRAME_MAX_BYTES,
    FRAME_MAX_BYTES,
    HANDSHAKE,
    PING,
    RESULT,
    Endpoint,
    FrameProtocol,
)
from supervised import supervised_once

log = structlog.get_logger()


SERVED_CALLS_MAX = 65_536  # of one client: no setting of its own bound is larger


@dataclass(frozen=True, slots=True)
class AnsweredLater:
    """A method that gets, before its arguments, the function to which it hands its result, now or later, once. It needs no task."""

    begin: Callable[..., None]


Methods = Mapping[str, Callable[..., Any] | AnsweredLater]


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
        """Listen no more; the others notice by the ends of the connections."""
        if self._server is not None:
            self._server.close()


class _Served(FrameProtocol):
    """The server's end: nothing is done for a client that has not shown the secret."""

    def __init__(self, secret: str, methods: Methods) -> None:
        super().__init__(FIRST_FRAME_MAX_BYTES)
        self._secret = secret
        self._methods = methods
        self._is_known = False
        self._under_way: dict[int, asyncio.Task[None] | None] = {}

    def frame(self, frame: list[Any]) -> None:
        if not self._is_known:
            if frame[0] != HANDSHAKE or not hmac.compare_digest(str(frame[1]), self._secret):
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
        except Exception as error:  # noqa: BLE001 - any error is the caller's result
            self._fail(number, name, error)

    async def _run(self, number: int, name: str, method: Callable[..., Awaitable[Any]], arguments: list[Any]) -> None:
        try:
            self._answer(number, await method(*arguments))
        except Exception as error:  # noqa: BLE001 - any error is the caller's result
            self._fail(number, name, error)

    def _answer(self, number: int, result: Any) -> None:
        """Send the result of a call, unless it has one already, or is not awaited any more."""
        if number in self._under_way:
            try:
                self.send((RESULT, number, result))
            except Exception as error:  # noqa: BLE001 - what can't be encoded fails its own call only
                self._fail(number, "", error)
            self._under_way.pop(number, None)

    def _fail(self, number: int, name: str, error: Exception) -> None:
        log.error("call_failed", method=name, exc_info=error)
        if number in self._under_way:
            del self._under_way[number]
            # An error may quote what could not be encoded, and would not be encodable itself.
            self.send((ERROR, number, f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()))
