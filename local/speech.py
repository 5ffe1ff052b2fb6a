"""What the person at the terminal is told while things start and stop: one line at a time, at once."""

from __future__ import annotations

import contextlib


def say(text: str) -> None:
    """Print a line; the terminal may be gone by now, which stops nothing."""
    with contextlib.suppress(OSError):
        print(text, flush=True)
