"""The W3C trace context of a request."""

from __future__ import annotations

import os
import re

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_LENGTH_OF_VERSION_00 = 55


class Trace:
    """The caller's trace continued, or a new one. Our span has an id of its own."""

    __slots__ = ("parent", "trace_id")

    def __init__(self, header: str | None) -> None:
        found = _TRACEPARENT.fullmatch(header) if header else None
        noise = os.urandom(24).hex()
        self.trace_id, flags = (found[2], found[4]) if found and _is_valid(found) else (noise[16:], "01")
        self.parent = f"00-{self.trace_id}-{noise[:16]}-{flags}"


def _is_valid(found: re.Match[str]) -> bool:
    version, trace_id, span_id, _ = found.groups()
    if version == "ff" or (version == "00" and len(found[0]) != _LENGTH_OF_VERSION_00):
        return False
    return trace_id.strip("0") != "" and span_id.strip("0") != ""
