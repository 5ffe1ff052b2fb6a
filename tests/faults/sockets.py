"""Which connections are a process's own, from /proc: so that of several processes of one title each is told by whom it talks to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlsplit


def ports_of(pid: int, server_url: str) -> set[int]:
    """The local ports of a process's connections to the port of a server of this machine; none when the process is gone.

    Two connections of two processes may have the same local port, as long as they lead to different servers.
    """
    server_port = urlsplit(server_url).port
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {_port(row[1]) for row in rows if row[9] in inodes and _port(row[2]) == server_port}


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1], 16)
