"""The idle wire between two processes: its end tells of a crash at once, missed answers tell of a hang.

Ray tells of a dead actor after a second and of a hung one never (docs/decisions, failover). A link is one TCP connection to the
other process's event loop, with a line for each thing said:

    client: ``hello <secret>`` · ``ping`` · ``watch <number> <order id> <until>``        server: ``pong`` · ``reached <number>``
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

LINE_MAX_BYTES = 512
WATCHES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a process listens for links; the secret came by an authenticated Ray call."""

    host: str
    port: int
    secret: str
    pid: int


class LinkServer:
    """Answers pings from this process's event loop and tells when an order has got somewhere."""

    def __init__(self, host: str, watch: Callable[[str, str], Awaitable[None]] | None = None) -> None:
        """``watch(order_id, until)`` returns when it is so; None where there is nothing to watch."""
        self._host = host
        self._watch = watch
        self._secret = secrets.token_hex(16)
        self._server: asyncio.Server | None = None
        self._watching: set[asyncio.Task[None]] = set()

    async def start(self, pid: int) -> Endpoint:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, self._host, 0, limit=LINE_MAX_BYTES)
        port = int(self._server.sockets[0].getsockname()[1])
        return Endpoint(self._host, port, self._secret, pid)

    async def stop(self) -> None:
        """Close; the ends of the connections tell the others."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: set[asyncio.Task[None]] = set()
        try:
            hello = (await reader.readline()).decode("ascii", "replace").split()
            if len(hello) != 2 or hello[0] != "hello" or not hmac.compare_digest(hello[1], self._secret):  # noqa: PLR2004
                return
            while line := await reader.readline():
                match line.decode("ascii", "replace").split():
                    case ["ping"]:
                        writer.write(b"pong\n")
                    case ["watch", number, order_id, until] if len(self._watching) < WATCHES_MAX:
                        task = asyncio.create_task(self._tell(writer, number, order_id, until))
                        for tasks in (mine, self._watching):
                            tasks.add(task)
                            task.add_done_callback(tasks.discard)
        except (ConnectionError, ValueError):
            pass
        finally:
            for task in list(mine):
                task.cancel()
            writer.close()

    async def _tell(self, writer: asyncio.StreamWriter, number: str, order_id: str, until: str) -> None:
        if self._watch is not None:
            await self._watch(order_id, until)
            with contextlib.suppress(ConnectionError):
                writer.write(f"reached {number}\n".encode())


class Link:
    """The client's end. ``lost`` is done as soon as the other process is gone or hangs."""

    def __init__(self, endpoint: Endpoint, *, ping_every_s: float, pings_missed_max: int) -> None:
        self.endpoint = endpoint
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ping_every_s = ping_every_s
        self._silence_max_s = ping_every_s * pings_missed_max
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._heard_s = 0.0
        self._watch_number = 0
        self._watches: dict[str, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Connect; raises ``OSError`` when nobody answers."""
        loop = asyncio.get_running_loop()
        reader, self._writer = await asyncio.wait_for(
            asyncio.open_connection(self.endpoint.host, self.endpoint.port, limit=LINE_MAX_BYTES), self._silence_max_s
        )
        self._write(f"hello {self.endpoint.secret}\n".encode())
        self._heard_s = loop.time()
        self._tasks = [loop.create_task(self._listen(reader)), loop.create_task(self._ping())]

    def close(self, why: str = "closed") -> None:
        """Give up; ``lost`` is done with the reason."""
        if not self.lost.done():
            self.lost.set_result(why)
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            self._writer.close()
        for future in self._watches.values():
            if not future.done():
                future.set_result(None)
        self._watches.clear()

    async def watch(self, order_id: str, until: str) -> None:
        """Wait until the order has got there, or until the link is lost: then the caller has to look for itself."""
        if self.lost.done() or self._writer is None or len(self._watches) >= WATCHES_MAX:
            return
        self._watch_number += 1
        number = str(self._watch_number)
        future = self._watches[number] = asyncio.get_running_loop().create_future()
        self._write(f"watch {number} {order_id} {until}\n".encode())
        try:
            await future
        finally:
            self._watches.pop(number, None)

    def _write(self, line: bytes) -> None:
        if self._writer is not None:
            self._writer.write(line)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        try:
            while line := await reader.readline():
                self._heard_s = loop.time()
                words = line.decode("ascii", "replace").split()
                if len(words) == 2 and words[0] == "reached":  # noqa: PLR2004 - the two words of the protocol
                    future = self._watches.pop(words[1], None)
                    if future is not None and not future.done():
                        future.set_result(None)
        except (ConnectionError, ValueError):
            pass
        self.close("ended")

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        while True:
            self._write(b"ping\n")
            await asyncio.sleep(self._ping_every_s)
            # A loop that was itself held up must not call the other one hung: only time in which we could listen counts.
            held_up_s = loop.time() - asked_s - self._ping_every_s
            if held_up_s > self._ping_every_s:
                self._heard_s += held_up_s
            asked_s = loop.time()
            if loop.time() - self._heard_s > self._silence_max_s:
                self.close("silent")
