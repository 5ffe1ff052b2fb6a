"""Conditional requests and preferences: ``If-Match``, ``If-None-Match``, ``Prefer: wait``.

An order's entity tag is its version. Pure.
"""

from __future__ import annotations

import re

from api.problems import Problem
from domain.errors import RefusalKind, Refused

NO_VERSION = -1
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


def expected_version(header: str | None) -> int | None:
    """Read ``If-Match``: the version wanted, or None for any (``*``, or no header).

    A tag that can't be an order's (weak: ``If-Match`` compares strongly; or no number) gives ``NO_VERSION``, which no
    order has. Raises ``Problem`` ``invalid_if_match`` for anything but one tag or ``*``.
    """
    if header is None or header == "*":
        return None
    found = _TAG.fullmatch(header)
    if found is None:
        raise Problem("invalid_if_match", 'If-Match wants one entity tag, such as "7", or *.')
    weak, text = found.groups()
    is_number = text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004 - fits int64
    return int(text) if is_number and not weak else NO_VERSION


def require_version(header: str | None, version: int) -> None:
    """Raise ``Refused`` ``version_conflict`` where ``If-Match`` names another version; and what ``expected_version`` raises.

    ``version`` is 0 for an order that is not made yet.
    """
    if expected_version(header) not in (None, version):
        detail = f"the order is at version {version}" if version else "the order is not made yet"
        raise Refused(RefusalKind.STALE, "version_conflict", detail, current_version=version)


def is_unmodified(header: str | None, version: int) -> bool:
    """Tell whether ``If-None-Match`` names this version (weakly compared), so that 304 is the answer."""
    if header is None:
        return False
    if header == "*":
        return True
    return any(text == str(version) for _, text in _TAG.findall(header))


def wait_s(header: str | None, max_s: float) -> float:
    """Read ``Prefer: wait=N``: seconds, ``max_s`` at most; 0 when nothing (understandable) is preferred."""
    if header is None:
        return 0.0
    found = _WAIT.search(header)
    return min(float(found[1]), max_s) if found else 0.0
