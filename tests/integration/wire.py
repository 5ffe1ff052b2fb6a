"""A wire to a server that can be cut, and that can let everything through but the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

USUAL_PORTS = {"amqp": 5672, "postgresql": 5432, "postgres": 5432}


class Wire:
    """Forwards connections. While ``deaf``, what is sent still arrives, and no answer comes back: it is lost, or, where the
    wire ``hangs_up``, it ends the connection. While ``down``, nobody can connect.
    """

    def __init__(self, host: str, port: int, *, hangs_up: bool) -> None:
        self.deaf = False
        self.down = False
        self._hangs_up = hangs_up
        self._host = host
        self._port = port
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """End every connection at once, whatever is on its way."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        if self.down:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        self._ends |= {writer, server_writer}
        for source, sink, is_answer in ((reader, server_writer, False), (server_reader, writer, True)):
            task = asyncio.create_task(self._forward(source, sink, is_answer=is_answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                if is_answer and self.deaf:
                    if self._hangs_up:
                        break
                    continue
                sink.write(data)
                await sink.drain()
        sink.close()


@asynccontextmanager
async def wire_to(url: str, *, hangs_up: bool = False) -> AsyncIterator[tuple[str, Wire]]:
    """A wire, and the URL that leads through it."""
    parts = urlsplit(url)
    port_there = parts.port or USUAL_PORTS[parts.scheme]
    wire = Wire(parts.hostname or "127.0.0.1", port_there, hangs_up=hangs_up)
    server = await asyncio.start_server(wire.join, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    try:
        yield parts._replace(netloc=f"{user}@127.0.0.1:{port}").geturl(), wire
    finally:
        wire.cut()
        server.close()
