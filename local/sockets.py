"""Which connections are a process's own, from /proc: so that of several processes of one title each is told by whom it talks to."""

from __future__ import annotations

import contextlib
from pathlib import Path


def ports_of(pid: int) -> set[int]:
    """The local TCP ports of a process's connections; none when it is gone."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[9] in inodes}
