"""Repeats of what staff do to things that have no owner: promotions and dead letters.

Orders remember their own commands. Here an answer is kept in PostgreSQL, by the statement that does what it tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from api.door import Wish
from api.exchange import Answer, Incoming
from api.idempotency import MessageIds, fingerprint
from api.ports import AnswersPort
from api.problems import Problem
from domain.errors import Refused
from storage.answers import KeptAnswer
from storage.errors import StorageUnavailable

KEPT_DAYS = 7

Keep = Callable[[Answer], KeptAnswer | None]


class _Told(msgspec.Struct, array_like=True):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Told).decode


class Replays:
    """Answers a repeat as the first time."""

    def __init__(self, answers: AnswersPort) -> None:
        self._answers = answers

    async def once(self, asked: Incoming, wish: Wish, work: Callable[[Keep], Awaitable[Answer]]) -> Answer:
        """Give the answer that was kept for the wish's key, or do ``work``; refusals are not kept.

        ``work`` is handed what makes of its answer the value to be kept with the change (None: there is no key).
        Raises ``Problem`` ``idempotency_key_reused`` where the key stands for other content, and what ``work`` raises.
        """
        if wish.key is None:
            return await work(lambda _: None)
        ids = wish.message_ids(asked)
        digest = fingerprint(wish.content, asked.query())
        digests = (digest, fingerprint(wish.as_written, asked.query()))
        replay = await self._replay(asked, ids, digests)
        if replay is not None:
            return replay
        try:
            answer = await work(lambda told: KeptAnswer(ids.id, digest, _encode_answer(told)))
        except (Problem, Refused):
            # A repeat that came while the first was running finds its work done, and is answered as the first.
            replay = await self._replay(asked, ids, digests)
            if replay is None:
                raise
            return replay
        with suppress(StorageUnavailable):
            await self._answers.forget(KEPT_DAYS)
        return answer

    async def _replay(self, asked: Incoming, ids: MessageIds, digests: tuple[str, str]) -> Answer | None:
        for answer_id in (ids.id, *ids.former):
            kept = await self._answers.find(answer_id)
            if kept is not None:
                break
        else:
            return None
        if kept.fingerprint not in digests:
            raise Problem("idempotency_key_reused", "The key was used with other content.")
        asked.told.append((b"idempotent-replayed", b"true"))
        told = _decode(kept.answer)
        return Answer(told.status, told.body, told.headers)


def _encode_answer(answer: Answer) -> bytes:
    return _encode(_Told(answer.status, answer.headers, answer.body))
