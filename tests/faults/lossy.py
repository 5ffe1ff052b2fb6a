"""A way to PostgreSQL on which some commits are done and their answers lost: the client sees its connection end instead.

It knows as much of PostgreSQL's protocol (version 3) as that takes: which prepared statement is a flush of orders, when one is
executed, and when the server has done it. It runs in a thread of its own, since what it serves is another program.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

SSL_REQUEST = 80877103
FLUSHES = b"insert into order_events"
IDLE = b"Z\0\0\0\5I"  # ReadyForQuery outside of a transaction: what was asked is done, and committed
READ_BYTES = 65_536
STARTED_LIMIT_S = 10.0


@dataclass(slots=True)
class Lossy:
    """``chance`` of a commit's answer to be lost; ``lost`` counts them, of ``commits`` in all."""

    random: Random
    chance: float = 0.0
    commits: int = 0
    lost: int = 0

    def strikes(self) -> bool:
        """Whether the answer of this commit is lost."""
        self.commits += 1
        is_lost = self.random.random() < self.chance
        self.lost += is_lost
        return is_lost


class _Connection:
    """One client's connection, both ways."""

    def __init__(self, lossy: Lossy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._lossy = lossy
        self._client = client
        self._server = server
        self._has_started = False
        self._unread = b""
        self._flushes: set[bytes] = set()
        self._is_doomed = False
        self._is_in_transaction = False
        self._tail = b""

    async def ask(self, reader: asyncio.StreamReader) -> None:
        """Forward what the client sends, and look at it."""
        with suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                self._look(data)
                self._server.write(data)
                await self._server.drain()
        self._server.close()

    async def answer(self, reader: asyncio.StreamReader) -> None:
        """Forward what the server says; of a commit that is doomed, nothing, and hang up once it is done."""
        with suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                self._tail = (self._tail + data)[-len(IDLE) :]
                if not self._is_doomed:
                    self._client.write(data)
                    await self._client.drain()
                elif self._tail == IDLE:
                    break
        self._client.transport.abort()
        self._server.transport.abort()

    def _look(self, data: bytes) -> None:
        self._unread += data
        while (length := self._length()) is not None:
            message, self._unread = self._unread[:length], self._unread[length:]
            if not self._has_started:
                self._has_started = struct.unpack_from(">i", message, 4)[0] != SSL_REQUEST
            else:
                self._message(message[:1], message[5:])

    def _length(self) -> int | None:
        """The length of the next message, once all of it is here."""
        head = 1 if self._has_started else 0
        if len(self._unread) < head + 4:
            return None
        length = head + int(struct.unpack_from(">i", self._unread, head)[0])
        return length if len(self._unread) >= length else None

    def _message(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":  # Parse: the statement's name, then its text
            name, text, _ = body.split(b"\0", 2)
            if FLUSHES in text:
                self._flushes.add(name)
            else:
                self._flushes.discard(name)
        elif kind == b"B" and body.split(b"\0", 2)[1] in self._flushes:
            self._is_in_transaction = self._tail[-1:] == b"T"
            self._is_doomed = not self._is_in_transaction and self._lossy.strikes()
        elif kind == b"Q" and body.startswith(b"COMMIT") and self._is_in_transaction:
            self._is_in_transaction = False
            self._is_doomed = self._lossy.strikes()


@contextmanager
def lossy_way(url: str, seed: int) -> Iterator[tuple[str, Lossy]]:
    """The URL of the way that leads to the server of ``url``, for as long as this is open, and what steers it."""
    parts = urlsplit(url)
    lossy = Lossy(Random(seed))
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    ports: list[int] = []

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port or 5432)
        connection = _Connection(lossy, writer, server_writer)
        await asyncio.gather(connection.ask(reader), connection.answer(server_reader))

    async def listen() -> None:
        server = await asyncio.start_server(join, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(listen())  # noqa: RUF006 - it ends at once
        loop.run_forever()

    thread = threading.Thread(target=serve, name="lossy-way", daemon=True)
    thread.start()
    try:
        assert ready.wait(STARTED_LIMIT_S), "the way did not open"
        user = parts.netloc.rpartition("@")[0]
        yield parts._replace(netloc=f"{user}@127.0.0.1:{ports[0]}").geturl(), lossy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STARTED_LIMIT_S)
        loop.close()
