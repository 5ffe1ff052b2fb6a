"""What each client asked and was told, and when: the part of the evidence that no table of the service holds.

An answer that did not come counts as unknown, never as failed. Times are this process's monotonic seconds, so "told before
asked" is certain. A request carries what it is for as a `Wish`, from which the laws reckon what an order must look like.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NO_ANSWER = 0
NOT_NOW = frozenset((429, 503))
UNKNOWN = frozenset((NO_ANSWER, 408, 500, 502, 504))


class Outcome(StrEnum):
    """What an answer says of the request's effect."""

    DONE = "done"
    REFUSED = "refused"  # for good: it changed nothing
    NOT_NOW = "not_now"  # it changed nothing, and may be asked again
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request is for. ``action`` is one of ``create, add, quantity, remove, pay, cancel, ship, deliver, attend``, or
    one of the readings ``show, list, payments``. ``lines``: sku -> quantity, of a creation all, else of the line it is about.
    ``waits``: the answer may show the order as it has become, so repeats may differ. ``says``: payment or refund id -> what became
    of it, by staff's word.
    """

    action: str
    lines: Mapping[str, int] = field(default_factory=dict)
    waits: bool = False
    says: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self.action in {"show", "list", "payments"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One request and what was told. ``versions``: order id -> version, of each order that the answer shows;
    ``payments``: payment id -> (status, amount, code). ``is_reuse``: the key was used before with other content, on purpose.
    """

    client: str
    wish: Wish
    method: str
    path: str
    key: str | None = None
    order_id: str | None = None
    customer_id: str | None = None
    if_match: int | None = None
    is_reuse: bool = False
    asked_s: float
    told_s: float
    status: int
    code: str | None = None
    current_version: int | None = None
    order_status: str | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    payments: Mapping[str, tuple[str, int, str | None]] = field(default_factory=dict)
    digest: str = ""
    is_replayed: bool = False

    @property
    def outcome(self) -> Outcome:
        """What it says of the effect."""
        if self.status in UNKNOWN:
            return Outcome.UNKNOWN
        if self.status in NOT_NOW:
            return Outcome.NOT_NOW
        return Outcome.DONE if self.status < 400 else Outcome.REFUSED

    def __str__(self) -> str:
        key = f" key {self.key}" if self.key else ""
        code = f" {self.code}" if self.code else ""
        return f"{self.client}: {self.method} {self.path}{key} -> {self.status or 'no answer'}{code}"


@dataclass(slots=True)
class History:
    """Everything that was told, in the order of being told. ``epoch_s``: what its monotonic seconds are short of those since 1970."""

    told: list[Told] = field(default_factory=list)
    epoch_s: float = field(default_factory=lambda: time.time() - time.monotonic())

    def add(self, told: Told) -> Told:
        """Note one more."""
        self.told.append(told)
        return told

    def by_key(self) -> dict[tuple[str, str, str], list[Told]]:
        """What was told under each key; a key belongs to its method and path. Reuses on purpose are left out."""
        found: dict[tuple[str, str, str], list[Told]] = {}
        for told in self.told:
            if told.key is not None and not told.is_reuse:
                found.setdefault((told.method, told.path, told.key), []).append(told)
        return found

    def of_orders(self) -> dict[str, list[Told]]:
        """What was told of each order by requests that name it."""
        found: dict[str, list[Told]] = {}
        for told in self.told:
            if told.order_id is not None:
                found.setdefault(told.order_id, []).append(told)
        return found

    def recorded(self) -> dict[str, str]:
        """What staff said of payments and refunds, by their ids, whatever they were told."""
        return {subject: word for told in self.told for subject, word in told.wish.says.items()}

    def wishes(self) -> Iterator[tuple[tuple[str, str, str], list[Told]]]:
        """The keyed wishes, each with all its tries, in the order of their first try."""
        yield from self.by_key().items()


def read_answer(raw: bytes) -> tuple[Any, str]:
    """The document of an answer, and its digest."""
    try:
        return (json.loads(raw) if raw else None), hashlib.blake2b(raw, digest_size=8).hexdigest()
    except ValueError:
        return None, "unreadable"


def shown_orders(document: Any) -> dict[str, int]:
    """Order id -> version of each order that a document shows: an order, or a list of them."""
    if not isinstance(document, dict):
        return {}
    listed = document.get("data") if isinstance(document.get("data"), list) else [document]
    return {order["id"]: order["version"] for order in listed or () if "id" in order and "version" in order}


def shown_payments(document: Any) -> dict[str, tuple[str, int, str | None]]:
    """Payment id -> status, amount and code of each payment that a document shows."""
    if not isinstance(document, dict):
        return {}
    listed = document.get("payments", [document] if "payment_id" in document else [])
    return {each["payment_id"]: (each["status"], each["amount"], each["code"]) for each in listed}
