"""From a shard to the bulkheads: calls go out after their commit, and those without an answer again to a bulkhead that was replaced.

No call is kept. What is sent is what the steps of an order's last commit ask for, and that is looked at before a call is sent
again: its answer may have been lost while the order became another. A call's id is its order and step, so a repeat has no second
effect. A call that can't be handed over is answered ``NotSent``. An order whose call met an open circuit goes again when
``parked_orders.py`` says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import structlog
from msgspec.structs import replace

from actors.order.messages import Unencodable, encode_call
from actors.rpc.connection import ProcessGone, TooManyCalls
from actors.shard.parked_orders import ParkedOrders
from domain.calls import PARTNER_OF, Call, Outcome, Partner
from domain.order import Order, StepState
from sagas.steps import call_of, partner_of, still_wanted
from supervised import note_failure

log = structlog.get_logger()


Perform = Callable[[Partner, bytes], asyncio.Future[bool]]
"""Hands an encoded call to the partner's bulkhead and gives whether that has taken it; raises ``ProcessGone`` and ``TooManyCalls``
where it was not handed over."""


class PartnerCalls:
    """Sends calls to the bulkhead of their partner."""

    def __init__(
        self,
        perform: Perform,
        not_sent: Callable[[Call, str], None],
        ask_again: Callable[[str, Partner], None],
        find: Callable[[str], Order | None],
        now: Callable[[], datetime],
    ) -> None:
        """``not_sent`` gets a call that was not handed over, and why; ``ask_again`` an order's id and the partner to which it is
        to make its call, if it still waits to. ``find`` gives the last commit of an order that is in memory here; one that is not
        is owned elsewhere, or comes back by its own deadline. ``now`` is the database's clock.
        """
        self._perform = perform
        self._not_sent = not_sent
        self._find = find
        self._now = now
        self._parked = ParkedOrders(ask_again)
        # For each partner, the orders in memory that wait for its answer, and how many of their steps do.
        self._waiting: dict[Partner, dict[str, int]] = {partner: {} for partner in Partner}

    @property
    def unanswered(self) -> int:
        """Calls that are out."""
        return sum(sum(orders.values()) for orders in self._waiting.values())

    @property
    def held_back(self) -> int:
        """Orders that wait for a partner whose circuit is open."""
        return self._parked.waiting

    def committed(self, order: Order) -> None:
        """This is what is stored of an order that is in memory here."""
        running = Counter(partner_of(step) for step in order.steps if step.state is StepState.RUNNING)
        for partner, orders in self._waiting.items():
            if running[partner]:
                orders[order.id] = running[partner]
            else:
                orders.pop(order.id, None)

    def send(self, calls: Iterable[Call]) -> None:
        """Send calls that the commits of a moment ago ask for."""
        for call in calls:
            try:
                performed = self._perform(PARTNER_OF[type(call.request)], encode_call(call))
            except (Unencodable, TooManyCalls) as error:
                self._not_sent(call, str(error))
            except ProcessGone:
                # It is repeated when the bulkhead is back; until then the order's own deadline watches over it.
                continue
            else:
                performed.add_done_callback(partial(self._performed, call))

    def send_again(self, calls: Iterable[Call]) -> None:
        """Send calls that earlier commits asked for, as far as their orders still do."""
        self.send([call for call in calls if self._is_asked_for(call)])

    def answered(self, order: Order, key: str, outcome: Outcome) -> None:
        """The answer to a step of ``order``, as it was before, is committed."""
        for step in order.steps:
            if step.key == key:
                self._parked.answered(partner_of(step), order.id, outcome)

    def leave(self, order_ids: Iterable[str]) -> None:
        """These orders leave memory: what is still ours of them comes back by its own deadline."""
        for order_id in order_ids:
            for orders in self._waiting.values():
                orders.pop(order_id, None)

    def forget(self, order_ids: Iterable[str]) -> None:
        """These orders are owned elsewhere now; their owner makes their calls."""
        gone = tuple(order_ids)
        self._parked.forget(gone)
        self.leave(gone)

    def repeat(self, partner: Partner) -> None:
        """The partner's bulkhead was replaced: what it had been given is lost, so give it to the new one."""
        now = self._now()
        calls = [
            replace(call_of(order, step), may_have_happened=True)
            for order in map(self._find, list(self._waiting[partner]))
            if order is not None
            for step in order.steps
            # A call that is overdue is left to the wake that is due as well.
            if step.state is StepState.RUNNING and partner_of(step) is partner and step.next_try_at > now
        ]
        if calls:
            log.info("calls_repeated", partner=partner.value, calls=len(calls))
            self.send_again(calls)

    def _performed(self, call: Call, performed: asyncio.Future[bool]) -> None:
        error = performed.exception()
        if error is None and not performed.result():
            self._not_sent(call, "the bulkhead's queue is full")
        elif error is not None and not isinstance(error, ProcessGone):
            note_failure("perform", error, order_id=call.order_id, key=call.key)

    def _is_asked_for(self, call: Call) -> bool:
        order = self._find(call.order_id)
        if order is not None and still_wanted(order, call, self._now()):
            return True
        log.info("call_not_asked_for", order_id=call.order_id, key=call.key, attempt=call.attempt)
        if order is not None and any(step.key == call.key for step in order.steps):
            self._not_sent(call, "it is not asked for any more")
        return False
