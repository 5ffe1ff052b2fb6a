"""Which messages have no answer yet, and since when: those that are being handled, and those given back that come again at once.

Pure bookkeeping, bounded: as many are at work as the prefetch allows, and of those given back ``REMEMBERED_MAX_MESSAGES`` are known.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

REMEMBERED_MAX_MESSAGES = 1024
KEY_BYTES = 16


@dataclass(slots=True, eq=False)
class Work:
    """A message that is being handled."""

    body: bytes = field(repr=False)
    since_s: float


class Unanswered:
    """Counts the messages that have had no answer for ``answer_max_s``. Of one that was given back the first time counts, and it
    is forgotten when it does not come again for as long as that.
    """

    def __init__(self, answer_max_s: float, monotonic: Callable[[], float]) -> None:
        self._answer_max_s = answer_max_s
        self._monotonic = monotonic
        self._at_work: set[Work] = set()
        self._given_back: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # first begun, last given back

    @property
    def at_work(self) -> int:
        """How many are being handled."""
        return len(self._at_work)

    def begin(self, body: bytes) -> Work:
        """A message is being handled from now on."""
        work = Work(body, self._monotonic())
        self._at_work.add(work)
        return work

    def end(self, work: Work) -> None:
        """It is handled no more."""
        self._at_work.discard(work)

    def answered(self, work: Work) -> None:
        """It was acknowledged."""
        if self._given_back:
            self._given_back.pop(_key(work.body), None)

    def given_back(self, work: Work) -> None:
        """It could neither be acknowledged nor sent on, and comes again."""
        key = _key(work.body)
        first_s, _ = self._given_back.pop(key, (work.since_s, 0.0))
        self._given_back[key] = (first_s, self._monotonic())
        if len(self._given_back) > REMEMBERED_MAX_MESSAGES:
            self._given_back.popitem(last=False)

    def count(self) -> int:
        """How many have had no answer for too long."""
        before_s = self._monotonic() - self._answer_max_s
        for key in [key for key, (_, last_s) in self._given_back.items() if last_s < before_s]:
            del self._given_back[key]
        given_back = {key for key, (first_s, _) in self._given_back.items() if first_s < before_s}
        at_work = sum(work.since_s < before_s for work in self._at_work)
        return at_work + len(given_back)


def _key(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=KEY_BYTES).digest()
