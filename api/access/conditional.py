"""Conditional requests and preferences: ``If-Match``, ``If-None-Match``, ``Prefer: wait``.

An order's entity tag is its version. Pure.
"""

from __future__ import annotations

import re

from api.problems import Problem
from domain.errors import RefusalKind, Refused

NO_VERSION = -1
_TAG_SHAPE = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_TAG = re.compile(_TAG_SHAPE)
# Elements of a list may be empty. Nothing is tried twice, however long it is.
_TAGS = re.compile(rf"[ \t,]*+{_TAG_SHAPE}(?:[ \t]*+,[ \t,]*+{_TAG_SHAPE})*+[ \t,]*+")
_VERSION = re.compile("[1-9][0-9]{0,17}")  # fits int64
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


def wanted_versions(header: str | None) -> frozenset[int] | None:
    """Read ``If-Match``: the versions of which the order has to have one, or None for any (``*``, or no header).

    Tags that can't be an order's (weak: ``If-Match`` compares strongly; or no version) stand for nothing.
    Raises ``Problem`` ``invalid_if_match`` for anything but tags or ``*``.
    """
    if header is None or header == "*":
        return None
    if _TAGS.fullmatch(header) is None:
        raise Problem("invalid_if_match", 'If-Match wants entity tags, such as "7", or *.')
    return frozenset(int(text) for weak, text in _TAG.findall(header) if not weak and _VERSION.fullmatch(text))


def expected_version(header: str | None) -> int | None:
    """Read the ``If-Match`` of a command: the one version wanted, or None for any; ``NO_VERSION``, which no order has, for none.

    Raises what ``wanted_versions`` raises, also where several versions are named: a command is about what was seen last.
    """
    wanted = wanted_versions(header)
    if wanted is None:
        return None
    if len(wanted) > 1:
        raise Problem("invalid_if_match", "The If-Match of a change wants one version of the order.")
    return next(iter(wanted), NO_VERSION)


def require_version(header: str | None, version: int) -> None:
    """Raise ``Refused`` ``version_conflict`` where ``If-Match`` names other versions; and what ``wanted_versions`` raises.

    ``version`` is 0 for an order that is not made yet.
    """
    wanted = wanted_versions(header)
    if wanted is not None and version not in wanted:
        detail = f"the order is at version {version}" if version else "the order is not made yet"
        raise Refused(RefusalKind.STALE, "version_conflict", detail, current_version=version)


def is_unmodified(header: str | None, tag: object) -> bool:
    """Tell whether ``If-None-Match`` names this entity tag, a version or a digest, weakly compared, so that 304 is the answer."""
    if header is None:
        return False
    if header == "*":
        return True
    return any(text == str(tag) for _, text in _TAG.findall(header))


def wait_s(header: str | None, max_s: float) -> float:
    """Read ``Prefer: wait=N``: seconds, ``max_s`` at most; 0 when nothing (understandable) is preferred."""
    if header is None:
        return 0.0
    found = _WAIT.search(header)
    return min(float(found[1]), max_s) if found else 0.0
