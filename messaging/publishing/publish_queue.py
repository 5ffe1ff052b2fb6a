"""The backlog: which event of which order is published next. Per order in sequence, one unconfirmed event at a time.

Pure bookkeeping: no connection, no clock, no await. It is bounded: an event for which there is no room is not kept,
and its order *lags* until the events that were dropped are offered again from the database. Nothing behind a gap is
ever taken, so first deliveries of an order stay in sequence with any events dropped, repeated or offered in between.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """A committed event on its way out. ``body`` and ``notice`` (the request to NotificationSvc that goes with it, if
    any) are envelopes as ``messaging.envelope`` wrote them.
    """

    sequence: int
    routing_key: str
    body: bytes
    notice: bytes | None = None


@dataclass(slots=True, eq=False)
class Line:
    """The events of one order that wait, the head of which may be under way.

    ``last`` is the highest sequence taken (waiting or confirmed), ``dropped_to`` the highest for which there was no
    room.
    """

    order_id: str
    last: int
    waiting: list[Outbound] = field(default_factory=list)
    dropped_to: int = 0
    is_under_way: bool = False

    @property
    def is_lagging(self) -> bool:
        """Whether something was dropped that has not been taken since."""
        return self.dropped_to > self.last

    @property
    def confirmed(self) -> int:
        """The sequence up to which everything that was taken is confirmed."""
        return self.waiting[0].sequence - 1 if self.waiting else self.last


class PublishQueue:
    """At most ``max_events`` events wait. Of orders with nothing waiting, the last ``remembered_max_orders`` are
    remembered, so that what they have published already is not published again.

    Of lagging orders one entry each is kept; their number is bounded by that of the orders which the caller has in
    memory, provided that it names those which leave it (``forget``).
    """

    def __init__(self, *, max_events: int, remembered_max_orders: int) -> None:
        self._max_events = max_events
        self._remembered_max_orders = remembered_max_orders
        self._lines: dict[str, Line] = {}
        self._lagging: set[str] = set()
        self._settled: OrderedDict[str, int] = OrderedDict()
        self._ready: deque[Line] = deque()
        self.size = 0

    @property
    def room(self) -> int:
        """How many more events can be taken."""
        return self._max_events - self.size

    @property
    def has_ready(self) -> bool:
        """Whether there may be something to publish next."""
        return bool(self._ready)

    @property
    def lagging(self) -> frozenset[str]:
        """The orders whose further events have to come from the database."""
        return frozenset(self._lagging)

    def is_lagging(self, order_id: str) -> bool:
        """Whether this order's further events have to come from the database."""
        return order_id in self._lagging

    @property
    def lagging_orders(self) -> int:
        """How many orders lag."""
        return len(self._lagging)

    def offer(self, order_id: str, events: Sequence[Outbound]) -> list[int]:
        """Take events of an order, in sequence, as far as there is room; the rest is dropped and makes the order lag.

        A commit offers what was never offered before: it must follow what is known, or it is dropped. What begins
        with a sequence that was offered before comes from the database, and is all that is unpublished there:
        what it leaves out is published. Of an order that nothing is known of, the first one offered is the next.

        Gives the sequences that are confirmed already: the caller that offers them does not know it yet.
        """
        if not events:
            return []
        line = self._lines.get(order_id)
        if line is None:
            line = Line(order_id, self._settled.pop(order_id, events[0].sequence - 1))
            self._lines[order_id] = line
        is_all_unpublished = events[0].sequence <= max(line.last, line.dropped_to)
        repeats: list[int] = []
        for event in events:
            if event.sequence <= line.last:
                if event.sequence <= line.confirmed:
                    repeats.append(event.sequence)
            elif self.room > 0 and (is_all_unpublished or event.sequence == line.last + 1):
                self._take(line, event)
            else:
                line.dropped_to = max(line.dropped_to, event.sequence)
                self._lagging.add(order_id)
        self._rest(line)
        return repeats

    def next(self) -> tuple[Line, Outbound] | None:
        """The next event to publish, or None; it is under way from now on."""
        while self._ready:
            line = self._ready.popleft()
            if line.waiting:
                line.is_under_way = True
                return line, line.waiting[0]
        return None

    def confirm(self, line: Line) -> int:
        """The head of the line has arrived: the next may follow. Gives the sequence of what was confirmed."""
        event = line.waiting.pop(0)
        self.size -= 1
        line.is_under_way = False
        if line.waiting:
            self._ready.append(line)
        else:
            self._rest(line)
        return event.sequence

    def again(self, line: Line) -> None:
        """The head of the line did not arrive, as far as we know: it goes out again, before others."""
        line.is_under_way = False
        self._ready.appendleft(line)

    def forget(self, order_ids: Iterable[str]) -> None:
        """Drop what is known of orders that have another owner now or leave memory; what is under way stays under way.

        The next owner of such an order offers its unpublished events first, from the database.
        """
        for order_id in order_ids:
            self._settled.pop(order_id, None)
            self._lagging.discard(order_id)
            line = self._lines.get(order_id)
            if line is None:
                continue
            keep = 1 if line.is_under_way else 0
            while len(line.waiting) > keep:
                line.waiting.pop()
                self.size -= 1
            line.dropped_to = 0
            if line.is_under_way:
                line.last = line.waiting[0].sequence
            else:
                del self._lines[order_id]

    def _take(self, line: Line, event: Outbound) -> None:
        line.waiting.append(event)
        line.last = event.sequence
        self.size += 1
        if len(line.waiting) == 1:
            self._ready.append(line)
        if not line.is_lagging:
            self._lagging.discard(line.order_id)

    def _rest(self, line: Line) -> None:
        """Keep only the last sequence of an order that has nothing to do."""
        if line.waiting or line.is_lagging:
            return
        del self._lines[line.order_id]
        self._settled[line.order_id] = line.last
        if len(self._settled) > self._remembered_max_orders:
            self._settled.popitem(last=False)
