"""Lists by the time of the last change, as contracts/partners.yaml says: the newest last, 200 a page."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

import msgspec

from local.sandbox.responses import EPOCH, EmulatedResponse, invalid, ok

PAGE_MAX_ROWS: Final = 200
MICROSECOND: Final = timedelta(microseconds=1)
FOREVER_US: Final = 2**63 - 1

_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


class Changes:
    """What changed when, as ``changed_at_us``: microseconds since 1970.

    No two changes get the same time, so that a time alone says how far a reader has come: it is the cursor.
    """

    def __init__(self) -> None:
        self._changes: list[tuple[int, str]] = []

    def next_us(self, now_ms: int) -> int:
        """A time for a change that happens now: later than all before it, whatever the clock says."""
        last_us = self._changes[-1][0] if self._changes else 0
        return max(now_ms * 1000, last_us + 1)

    def note(self, changed_at_us: int, key: str) -> None:
        """Remember that ``key`` changed; noting the same change again makes no difference."""
        change = (changed_at_us, key)
        at = bisect_left(self._changes, change)
        if self._changes[at : at + 1] != [change]:
            self._changes.insert(at, change)

    def page(self, query: str, show: Callable[[int, str], dict[str, Any] | None]) -> EmulatedResponse:
        """Answer a list. ``show`` gives what ``key`` shows if it changed last at that time, else None."""
        asked = parse_qs(query)
        try:
            since_us = _microseconds(asked["updated_since"][0])
            until_us = _microseconds(asked["updated_until"][0]) if "updated_until" in asked else FOREVER_US
            if "cursor" in asked:
                since_us = max(since_us, _cursor(asked["cursor"][0]))
        except (KeyError, ValueError) as error:
            return invalid(f"updated_since, updated_until (RFC 3339) or cursor: {error}")
        rows: list[dict[str, Any]] = []
        end = bisect_left(self._changes, (until_us, ""))
        for at in range(bisect_left(self._changes, (since_us, "")), end):
            changed_at_us, key = self._changes[at]
            row = show(changed_at_us, key)
            if row is None:
                continue
            if len(rows) == PAGE_MAX_ROWS:
                return ok({"data": rows, "next_cursor": str(changed_at_us)})
            rows.append(row)
        return ok({"data": rows, "next_cursor": None})


def _microseconds(text: str) -> int:
    return (msgspec.convert(text, _Aware) - EPOCH) // MICROSECOND


def _cursor(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(FOREVER_US))):
        raise ValueError("not a cursor of ours")
    return int(text)
