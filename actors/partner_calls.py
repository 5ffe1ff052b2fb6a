"""From a shard to the bulkheads: calls go out in batches, and those without an answer go out again to a bulkhead that was replaced.

A call's id is its order and step, so a repeat has no second effect. A call that can't be handed over is answered ``NotSent``. An order
that hears that the circuit is open goes again when ``circuits.py`` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from actors.batching import MicroBatcher
from actors.circuits import Circuits
from actors.peers import PeerGone
from actors.wire import encode_calls
from domain.calls import PARTNER_OF, Call, Outcome, Partner
from domain.errors import Unavailable

log = structlog.get_logger()


class BulkheadCalls:
    """Sends calls to the bulkhead of their partner."""

    def __init__(
        self,
        perform: Callable[[Partner, bytes], Awaitable[list[int]]],
        not_sent: Callable[[Call, str], None],
        ask_again: Callable[[str, Partner], None],
        *,
        queue_max_calls: int,
        batch_max_calls: int = 128,
    ) -> None:
        """``perform`` hands a batch over and gives the positions of the calls that were not taken; raises ``PeerGone``.

        ``ask_again`` tells an order (by its id) to make its call to the partner, if it still waits to.
        """
        self._perform = perform
        self._not_sent = not_sent
        self._circuits = Circuits(ask_again)
        self._unanswered: dict[Partner, dict[tuple[str, str], Call]] = {partner: {} for partner in Partner}
        self._queues = {
            partner: MicroBatcher(
                self._sender(partner), queue_max_items=queue_max_calls, batch_max_items=batch_max_calls
            )
            for partner in Partner
        }

    @property
    def unanswered(self) -> int:
        """Calls that are out or wait to go."""
        return sum(len(calls) for calls in self._unanswered.values())

    @property
    def held_back(self) -> int:
        """Orders that wait for a partner whose circuit is open."""
        return self._circuits.waiting

    def send(self, calls: Iterable[Call]) -> None:
        """Send calls whose intents are committed."""
        for call in calls:
            partner = PARTNER_OF[type(call.request)]
            self._unanswered[partner][(call.order_id, call.key)] = call
            try:
                self._queues[partner].put(call)
            except Unavailable as full:
                self._give_up(partner, call, str(full))

    def answered(self, order_id: str, key: str, outcome: Outcome) -> None:
        """The call's answer is committed: it needs no repeating."""
        for partner, calls in self._unanswered.items():
            if calls.pop((order_id, key), None) is not None:
                self._circuits.heard(partner, order_id, outcome)

    def forget(self, order_ids: Iterable[str]) -> None:
        """Somebody else owns these orders now, and makes their calls."""
        gone = set(order_ids)
        self._circuits.forget(gone)
        for calls in self._unanswered.values():
            for key in [key for key in calls if key[0] in gone]:
                del calls[key]

    def repeat(self, partner: Partner) -> None:
        """The partner's bulkhead was replaced: what it had been given is lost, so give it to the new one."""
        calls = list(self._unanswered[partner].values())
        if calls:
            log.info("calls_repeated", partner=partner.value, calls=len(calls))
            self.send(calls)

    def _sender(self, partner: Partner) -> Callable[[list[Call]], Awaitable[None]]:
        async def send(batch: list[Call]) -> None:
            unanswered = self._unanswered[partner]
            batch = [call for call in batch if unanswered.get((call.order_id, call.key)) is call]
            if not batch:
                return
            try:
                for position in await self._perform(partner, encode_calls(batch)):
                    self._give_up(partner, batch[position], "the bulkhead's queue is full")
            except PeerGone as gone:
                # It is repeated when the bulkhead is back; until then the order's own deadline watches over it.
                log.warning("bulkhead_gone", partner=partner.value, calls=len(batch), why=str(gone))
                await asyncio.sleep(0)

        return send

    def _give_up(self, partner: Partner, call: Call, why: str) -> None:
        self._unanswered[partner].pop((call.order_id, call.key), None)
        self._not_sent(call, why)
