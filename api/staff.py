"""What staff do about what stands still: orders that need attention, and messages that could not be handled.

Translates between HTTP and commands. The rules are in the order.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, assert_never

from pydantic import BaseModel, ConfigDict, Field

from api import schemas
from api.auth import ADMIN
from api.door import Door
from api.exchange import Answer, Incoming, json_answer
from api.fields import AS_QUERY_NUMBER
from api.orders import order_answer
from api.parameters import read_query
from api.ports import AnswersPort, DeadLettersPort
from api.reading import encode
from api.replays import Keep, Replays
from domain.commands import MarkSettled, Record, RetryNow, SkipToCompensation
from domain.errors import RefusalKind, Refused
from messaging.dead_letters import DeadLetter

DEAD_LETTERS_MAX = 200
DEAD_LETTERS_DEFAULT = 50
BODY_SHOWN_MAX_BYTES = 8192


class DeadLettersQuery(BaseModel):
    """How many are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=DEAD_LETTERS_MAX), AS_QUERY_NUMBER] = DEAD_LETTERS_DEFAULT


class StaffEndpoints:
    """The handlers of ``/api/orders/{order_id}/attention`` and ``/api/dead-letters``."""

    def __init__(self, door: Door, dead_letters: DeadLettersPort, answers: AnswersPort) -> None:
        self._door = door
        self._dead_letters = dead_letters
        self._answers = answers
        self._replays = Replays(answers)

    async def attend(self, asked: Incoming) -> Answer:
        """Retry every step at once, give up going forward, or say what was settled outside: the stock, or money."""
        wish, body = await self._door.wish_with(asked, schemas.AttentionVerb, ADMIN)
        command: RetryNow | SkipToCompensation | MarkSettled | Record
        match body.root:
            case schemas.RetryNow(note=note):
                command = RetryNow(note)
            case schemas.SkipToCompensation(note=note):
                command = SkipToCompensation(note)
            case schemas.MarkSettled(note=note):
                command = MarkSettled(note)
            case schemas.Record() as said:
                command = Record(
                    subject=said.subject,
                    outcome=said.outcome,
                    amount=said.amount,
                    currency=said.currency,
                    reference=said.reference,
                    note=said.note,
                )
            case _:
                assert_never(body.root)
        return order_answer(200, await self._door.command(asked, wish, command, by_staff=True))

    async def list_dead_letters(self, asked: Incoming) -> Answer:
        """Show the oldest; they stay where they are."""
        await self._door.admit(asked, ADMIN)
        query = read_query(DeadLettersQuery, asked)
        letters = await self._dead_letters.list(limit=query.limit)
        return json_answer(200, encode({"data": [represent_dead_letter(letter) for letter in letters]}))

    async def show_dead_letter(self, asked: Incoming) -> Answer:
        """Show one."""
        await self._door.admit(asked, ADMIN)
        letter = await self._dead_letters.find(asked.param("letter_id"))
        if letter is None:
            raise _not_found()
        return json_answer(200, encode(represent_dead_letter(letter)))

    async def resend_dead_letter(self, asked: Incoming) -> Answer:
        """Send one to our inbox again; other consumers of the partner's exchange don't get it."""
        wish = await self._door.wish(asked, ADMIN)
        return await self._replays.once(asked, wish, partial(self._resend, asked.param("letter_id")))

    async def _resend(self, letter: str, keep: Keep) -> Answer:
        """RabbitMQ and PostgreSQL share no transaction: a crash between them leaves the key unused, and the letter gone."""
        if not await self._dead_letters.resend(letter):
            raise _not_found()
        answer = Answer(204)
        kept = keep(answer)
        if kept is not None:
            await self._answers.keep(kept)
        return answer


def represent_dead_letter(letter: DeadLetter) -> dict[str, Any]:
    """Give a dead letter's document; ``id`` stands for its content, and of a long body the beginning is shown."""
    return {
        "id": letter.key,
        "message_id": letter.message_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "exchange": letter.exchange,
        "routing_key": letter.routing_key,
        "first_received": letter.first_received,
        "size_bytes": letter.size_bytes,
        "body": letter.body[:BODY_SHOWN_MAX_BYTES].decode("utf-8", "replace"),
    }


def _not_found() -> Refused:
    return Refused(RefusalKind.NOT_FOUND, "dead_letter_not_found", "There is no such dead letter.")
