"""Places where a test makes this process die: ``ORDERSVC_FAILPOINT=name:hits`` ends it at the given pass, as kill -9 would.

Without the variable a pass costs one comparison. The names are the step boundaries of faults.md, fault 1.
"""

from __future__ import annotations

import os

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


class Failpoint:
    """Counts passes through one named place and ends the process, without any clean-up, at the chosen one."""

    def __init__(self, specification: str) -> None:
        """``specification``: ``name:hits`` or empty. Raises ``ValueError`` for a name that does not exist."""
        self._name, _, hits = specification.partition(":")
        self._left = int(hits or 1)
        if self._name and self._name not in NAMES:
            raise ValueError(f"no failpoint is named {self._name!r}; there are {', '.join(NAMES)}")

    def hit(self, name: str) -> None:
        """Pass through the place ``name``; may not return."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os._exit(137)
