"""Repeats of what staff do to things that have no owner: promotions and dead letters.

Orders remember their own commands. Here an answer is kept in PostgreSQL, by the statement that makes the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
from starlette.responses import Response

from api.access.contexts import CommandContext
from api.access.idempotency import MessageIds, fingerprint
from api.problems import Problem
from domain.errors import Refused
from storage.errors import StorageUnavailable
from storage.writes.kept_answers import KeptAnswer

KEPT_DAYS = 7

Keep = Callable[[Response], KeptAnswer | None]


class _Stored(msgspec.Struct, array_like=True):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


async def once(ctx: CommandContext, work: Callable[[Keep], Awaitable[Response]]) -> Response:
    """Give the answer that was kept for the request's key, or do ``work``; refusals are not kept.

    ``work`` is handed what makes of its answer the value to be kept with the change (None: there is no key).
    Raises ``Problem`` ``idempotency_key_reused`` where the key stands for other content, and what ``work`` raises.
    """
    if ctx.key is None:
        return await work(lambda _: None)
    ids = ctx.message_ids()
    digest = fingerprint(ctx.content, ctx.query)
    digests = (digest, fingerprint(ctx.as_written, ctx.query))
    replay = await _replay(ctx, ids, digests)
    if replay is not None:
        return replay
    try:
        response = await work(lambda answered: KeptAnswer(ids.id, digest, _encode_answer(answered)))
    except (Problem, Refused):
        # A repeat that came while the first was running finds its work done, and is answered as the first.
        replay = await _replay(ctx, ids, digests)
        if replay is None:
            raise
        return replay
    with suppress(StorageUnavailable):
        await ctx.services.answers.forget(KEPT_DAYS)
    return response


async def _replay(ctx: CommandContext, ids: MessageIds, digests: tuple[str, str]) -> Response | None:
    for answer_id in (ids.id, *ids.former):
        kept = await ctx.services.answers.find(answer_id)
        if kept is not None:
            break
    else:
        return None
    if kept.fingerprint not in digests:
        raise Problem("idempotency_key_reused", "The key was used with other content.")
    ctx.tell_replayed()
    stored = _decode(kept.answer)
    response = Response(status_code=stored.status)
    response.body = stored.body
    response.raw_headers = [*stored.headers, *_length(stored)]
    return response


def _encode_answer(response: Response) -> bytes:
    headers = [header for header in response.raw_headers if header[0] != b"content-length"]
    return _encode(_Stored(response.status_code, headers, bytes(response.body)))


def _length(stored: _Stored) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % len(stored.body))] if stored.body else []
