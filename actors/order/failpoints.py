"""Places where a test makes this process die, at a step boundary of its choice, as kill -9 would.

With the setting ``failpoints_dir`` (for tests alone), a file in that folder arms the place that it is named after: the process that
passes it takes the file away and dies. The file may hold a number: how often a process passes first. So one running service
can be taken through all places (docs/faults.md, fault 1), since Ray starts the process again. Without the setting a pass costs one
comparison.
"""

from __future__ import annotations

import os
from pathlib import Path

NAMES = (
    "before_commit",
    "after_commit",
    "before_reply",
    "before_call",
    "after_call",
    "before_publish",
    "after_publish",
    "before_mark",
    "after_mark",
)
EXIT_CODE = 137  # a shell's for SIGKILL


class Failpoint:
    """Looks at each named place whether this process is to die there."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._passes: dict[str, int] = {}

    def hit(self, name: str) -> None:
        """Pass through the place ``name``; may not return."""
        if self._folder is not None and self._is_armed(self._folder / name, name):
            os._exit(EXIT_CODE)

    def _is_armed(self, file: Path, name: str) -> bool:
        """Whether it is now; of several processes that pass a place at once, one takes the file away."""
        try:
            wanted = int(file.read_text() or 1)
        except FileNotFoundError:
            self._passes.pop(name, None)
            return False
        passes = self._passes[name] = self._passes.get(name, 0) + 1
        if passes < wanted:
            return False
        try:
            file.unlink()
        except FileNotFoundError:
            return False
        return True
