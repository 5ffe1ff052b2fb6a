"""Repeats of what staff do to things that have no owner: promotions and dead letters.

Orders remember their own commands for good. Here an answer is remembered in Redis: where that is lost, a repeat is
judged anew, and what it does is harmless, for a code is taken once, a change is made once, and what is gone is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from api.door import Wish
from api.exchange import Answer, Incoming
from api.idempotency import fingerprint, message_id_for
from api.ports import RememberPort
from api.problems import Problem

KEPT_S = 7 * 86_400


class _Remembered(msgspec.Struct, array_like=True):
    fingerprint: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Remembered).decode


class Replays:
    """Answers a repeat as the first time."""

    def __init__(self, memory: RememberPort) -> None:
        self._memory = memory

    async def once(self, asked: Incoming, wish: Wish, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Give the answer remembered for the wish's key, or do ``work`` and remember its answer; refusals are not kept.

        Raises ``Problem`` ``idempotency_key_reused`` where the key stands for other content, and what ``work`` raises.
        """
        if wish.key is None:
            return await work()
        name = "answer:" + message_id_for(wish.caller.subject, asked.method, asked.path, wish.key)
        digest = fingerprint(wish.content, asked.query())
        found = await self._memory.recall(name)
        if found is None:
            answer = await work()
            kept = _Remembered(digest, answer.status, answer.headers, answer.body)
            await self._memory.remember(name, _encode(kept), keep_s=KEPT_S)
            return answer
        remembered = _decode(found)
        if remembered.fingerprint != digest:
            raise Problem("idempotency_key_reused", "The key was used with other content.")
        asked.told.append((b"idempotent-replayed", b"true"))
        return Answer(remembered.status, remembered.body, remembered.headers)
