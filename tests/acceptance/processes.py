"""Finding the processes of the service under test, and of no other, by their titles."""

from __future__ import annotations

import os
from pathlib import Path


def pids_of(title: str) -> list[int]:
    """Process ids of our descendants whose title begins with ``title``."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                titles[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue

    def is_ours(pid: int) -> bool:
        while pid > 1:
            if pid == os.getpid():
                return True
            pid = parents.get(pid, 0)
        return False

    return [pid for pid, text in titles.items() if text.startswith(title) and is_ours(pid)]
