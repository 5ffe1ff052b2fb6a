"""Answers of commands that are followed by a validation: with ``Prefer: wait`` they show the order once that has said something."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import Response

from actors.order.replies import Reply
from api.access.conditional import wait_s
from api.access.contexts import CommandContext
from api.http.request_state import Header
from api.shapes.audience import reply_to
from api.shapes.responses import etag, json_response
from domain.errors import Refused
from storage.errors import StorageUnavailable, UndecodableSnapshot


async def order_when_validated(
    ctx: CommandContext, order_id: str, status: int, reply: Reply, *headers: Header
) -> Response:
    """Answer with the order that a command left behind, or, where that is preferred, with what has become of it."""
    services = ctx.services
    seconds = wait_s(ctx.header(b"prefer"), services.limits.prefer_wait_max_s)
    version, document = reply.version, reply.document
    if not seconds:
        return json_response(status, document, etag(version), *headers)
    # The command is done; where the order can't be read now, the answer is the command's own reply.
    with suppress(StorageUnavailable, UndecodableSnapshot, Refused):
        with ctx.state.load.uncounted():
            become = await services.router.wait(order_id, "validated", seconds)
        if become is not None:
            become = reply_to(ctx.caller, become)
        shown = become or await services.reader.shown(order_id, ctx.caller)
        version, document = shown.version, shown.document
    return json_response(status, document, etag(version), *headers, preference_applied(seconds))


def preference_applied(seconds: float) -> Header:
    """Say that ``Prefer: wait`` was heeded, and with which number of seconds."""
    return (b"preference-applied", b"wait=%d" % int(seconds))
