"""Answers of commands that are followed by a validation: with ``Prefer: wait`` they show the order once that has said something."""

from __future__ import annotations

from contextlib import suppress

from actors.replies import Reply
from api.audience import reply_to
from api.auth import Caller
from api.conditions import wait_s
from api.exchange import Answer, Header, Incoming, etag, json_answer
from api.ports import RouterPort
from api.reading import OrderReader
from domain.errors import Refused
from storage.errors import StorageUnavailable, UndecodableSnapshot


class ValidationWait:
    """Waits for what the validation says, for those who prefer it."""

    def __init__(self, router: RouterPort, reader: OrderReader, *, max_s: float) -> None:
        self._router = router
        self._reader = reader
        self._max_s = max_s

    async def answer(
        self, asked: Incoming, caller: Caller, order_id: str, status: int, reply: Reply, *headers: Header
    ) -> Answer:
        """Answer with the order that a command left behind, or, where that is preferred, with what has become of it."""
        seconds = wait_s(asked.header(b"prefer"), self._max_s)
        version, document = reply.version, reply.document
        if not seconds:
            return json_answer(status, document, etag(version), *headers)
        # It is done, whatever keeps us from reading it: then tell what the command answered.
        with suppress(StorageUnavailable, UndecodableSnapshot, Refused):
            with asked.load.aside():
                become = await self._router.wait(order_id, "validated", seconds)
            if become is not None:
                become = reply_to(caller, become)
            shown = become or await self._reader.shown(order_id, caller)
            version, document = shown.version, shown.document
        return json_answer(status, document, etag(version), *headers, preference_applied(seconds))


def preference_applied(seconds: float) -> Header:
    """Say that ``Prefer: wait`` was heeded, and with which number of seconds."""
    return (b"preference-applied", b"wait=%d" % int(seconds))
