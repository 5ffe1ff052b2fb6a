"""A wire to PostgreSQL that can be cut so that a statement is done and its answer is never heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Wire:
    """Forwards connections; once ``deaf`` is set, what is sent still arrives, and the first answer ends the
    connection.
    """

    def __init__(self, host: str, port: int) -> None:
        self.deaf = False
        self._host = host
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        for source, sink, is_answer in ((reader, server_writer, False), (server_reader, writer, True)):
            task = asyncio.create_task(self._forward(source, sink, is_answer=is_answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while data := await source.read(65_536):
                if is_answer and self.deaf:
                    break
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()


@asynccontextmanager
async def wire_to(database_url: str) -> AsyncIterator[tuple[str, Wire]]:
    """A wire, and the URL that leads through it."""
    parts = urlsplit(database_url)
    wire = Wire(parts.hostname or "127.0.0.1", parts.port or 5432)
    server = await asyncio.start_server(wire.join, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    try:
        yield parts._replace(netloc=f"{user}@127.0.0.1:{port}").geturl(), wire
    finally:
        server.close()
