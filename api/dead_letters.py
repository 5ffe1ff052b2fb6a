"""Dead letters as the staff endpoints want them: RabbitMQ's errors turned into ``Unavailable``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from domain.errors import Unavailable
from messaging.connection import LOST
from messaging.consuming.dead_letters import DeadLetter, find_dead_letter, list_dead_letters, resend_dead_letters

BROKER_RETRY_AFTER_S = 2.0


class DeadLetters:
    """The dead letters of one RabbitMQ. Every method raises ``Unavailable`` when it is away."""

    def __init__(self, amqp_url: str) -> None:
        self._url = amqp_url

    async def list(self, *, limit: int) -> Sequence[DeadLetter]:
        """Give the oldest; they stay."""
        with _away():
            return await list_dead_letters(self._url, limit=limit)

    async def find(self, key: str) -> DeadLetter | None:
        """Give one, or None."""
        with _away():
            return await find_dead_letter(self._url, key)

    async def resend(self, key: str) -> bool:
        """Send one to the inbox again; False where there is none."""
        with _away():
            return await resend_dead_letters(self._url, {key}, limit=1) > 0


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except LOST as error:
        raise Unavailable(
            "broker_unavailable", "RabbitMQ can't be reached now.", retry_after_s=BROKER_RETRY_AFTER_S
        ) from error
