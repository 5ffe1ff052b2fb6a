from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.publishing.publish_queue import Line, Outbound, PublishQueue


def events(*sequences: int) -> list[Outbound]:
    return [Outbound(sequence=sequence, routing_key="PedidoActualizado", body=b"{}") for sequence in sequences]


def backlog(*, max_events: int = 100, remembered: int = 100) -> PublishQueue:
    return PublishQueue(max_events=max_events, remembered_max_orders=remembered)


def publish_all(waiting: PublishQueue) -> list[tuple[str, int]]:
    """Confirm everything that can be published, in the order in which it goes out."""
    out = []
    while (following := waiting.next()) is not None:
        line, event = following
        waiting.confirm(line)
        out.append((line.order_id, event.sequence))
    return out


def test_one_event_of_an_order_is_under_way_at_a_time() -> None:
    waiting = backlog()
    waiting.offer("a", events(1, 2))
    first = waiting.next()
    assert first is not None
    assert first[1].sequence == 1
    assert waiting.next() is None
    waiting.confirm(first[0])
    second = waiting.next()
    assert second is not None
    assert second[1].sequence == 2


def test_orders_do_not_wait_for_each_other() -> None:
    waiting = backlog()
    waiting.offer("a", events(1, 2))
    waiting.offer("b", events(1))
    assert publish_all(waiting) == [("a", 1), ("b", 1), ("a", 2)]


def test_what_did_not_arrive_goes_out_again_before_others() -> None:
    waiting = backlog()
    waiting.offer("a", events(1))
    waiting.offer("b", events(1))
    first = waiting.next()
    assert first is not None
    waiting.again(first[0])
    assert publish_all(waiting) == [("a", 1), ("b", 1)]


def test_what_waits_already_is_not_taken_twice() -> None:
    waiting = backlog()
    waiting.offer("a", events(1, 2))
    assert waiting.offer("a", events(1, 2, 3)) == []
    assert publish_all(waiting) == [("a", 1), ("a", 2), ("a", 3)]


def test_what_was_confirmed_is_told_again_and_not_published_again() -> None:
    waiting = backlog()
    waiting.offer("a", events(1, 2))
    publish_all(waiting)
    assert waiting.offer("a", events(2, 3)) == [2]
    assert publish_all(waiting) == [("a", 3)]


def test_without_room_an_order_lags_until_what_was_dropped_comes_again() -> None:
    waiting = backlog(max_events=2)
    waiting.offer("a", events(1, 2, 3))
    assert waiting.room == 0
    assert waiting.lagging == {"a"}
    assert publish_all(waiting) == [("a", 1), ("a", 2)]
    waiting.offer("a", events(4))  # a commit, while 3 is missing
    assert publish_all(waiting) == []
    waiting.offer("a", events(3, 4))  # from the database
    assert publish_all(waiting) == [("a", 3), ("a", 4)]
    assert waiting.lagging == frozenset()


def test_an_order_of_which_everything_was_dropped_lags_too() -> None:
    waiting = backlog(max_events=1)
    waiting.offer("a", events(1))
    waiting.offer("b", events(5))
    assert waiting.lagging == {"b"}
    publish_all(waiting)
    waiting.offer("b", events(6))
    assert publish_all(waiting) == []
    waiting.offer("b", events(5, 6))
    assert publish_all(waiting) == [("b", 5)]
    waiting.offer("b", events(6))
    assert publish_all(waiting) == [("b", 6)]


def test_a_gap_is_closed_by_what_the_database_says_is_unpublished() -> None:
    """A sweep's answer is old: it offers 4, which was published and forgotten since. Then 6 is committed: with 4 for
    the last one known, 5 seems to be missing, but was published as well. The order must not wait for it for ever.
    """
    waiting = backlog()
    waiting.offer("a", events(4))
    publish_all(waiting)
    waiting.offer("a", events(6))
    assert waiting.lagging == {"a"}
    assert publish_all(waiting) == []
    waiting.offer("a", events(6))
    assert publish_all(waiting) == [("a", 6)]
    assert waiting.lagging == frozenset()


def test_only_so_many_orders_are_remembered() -> None:
    waiting = backlog(remembered=1)
    for order_id in ("a", "b"):
        waiting.offer(order_id, events(1))
    publish_all(waiting)
    assert waiting.offer("b", events(1)) == [1]
    assert waiting.offer("a", events(1)) == []
    assert publish_all(waiting) == [("a", 1)]


def test_a_forgotten_order_starts_anew_and_leaves_room() -> None:
    waiting = backlog(max_events=2)
    waiting.offer("a", events(1, 2, 3))
    waiting.forget(["a", "unknown"])
    assert (waiting.size, waiting.lagging) == (0, frozenset())
    waiting.offer("a", events(7))
    assert publish_all(waiting) == [("a", 7)]


def test_of_a_forgotten_order_what_is_under_way_stays_under_way() -> None:
    waiting = backlog()
    waiting.offer("a", events(1, 2))
    under_way = waiting.next()
    assert under_way is not None
    waiting.forget(["a"])
    waiting.offer("a", events(1, 2))
    assert waiting.next() is None
    assert waiting.confirm(under_way[0]) == 1
    assert publish_all(waiting) == [("a", 2)]


def test_an_offer_of_nothing_is_nothing() -> None:
    waiting = backlog()
    assert waiting.offer("a", []) == []
    assert waiting.next() is None


class World:
    """A database of committed events, and a broker that is told of them through a backlog that is too small."""

    def __init__(self) -> None:
        self.backlog = backlog(max_events=3, remembered=1)
        self.committed: dict[str, int] = defaultdict(int)
        self.marked: dict[str, set[int]] = defaultdict(set)
        self.unmarked: list[tuple[str, int]] = []
        self.under_way: list[tuple[Line, Outbound]] = []
        self.arrived: dict[str, list[int]] = defaultdict(list)
        self.stale: dict[str, list[Outbound]] = {}

    def unpublished(self, order_id: str) -> list[Outbound]:
        return events(*(n for n in range(1, self.committed[order_id] + 1) if n not in self.marked[order_id]))

    def offer(self, order_id: str, offered: Sequence[Outbound]) -> None:
        self.unmarked += [(order_id, sequence) for sequence in self.backlog.offer(order_id, offered)]
        assert self.backlog.size <= 3

    def do(self, action: str, order_id: str) -> None:
        match action:
            case "commit":
                self.committed[order_id] += 1
                self.offer(order_id, events(self.committed[order_id]))
            case "send":
                if (following := self.backlog.next()) is not None:
                    line, event = following
                    assert all(line is not other for other, _ in self.under_way)
                    self.arrived[line.order_id].append(event.sequence)
                    self.under_way.append(following)
            case "confirm" if self.under_way:
                line, _ = self.under_way.pop(0)
                self.unmarked.append((line.order_id, self.backlog.confirm(line)))
            case "lose" if self.under_way:
                self.backlog.again(self.under_way.pop()[0])
            case "mark":
                for owner, sequence in self.unmarked:
                    self.marked[owner].add(sequence)
                self.unmarked = []
            case "sweep":
                self.offer(order_id, self.unpublished(order_id))
            case "sweep begins":
                self.stale[order_id] = self.unpublished(order_id)
            case "sweep ends":
                self.offer(order_id, self.stale.pop(order_id, []))
            case "load":
                self.backlog.forget([order_id])
                self.offer(order_id, self.unpublished(order_id))


ACTIONS = ("commit", "send", "confirm", "lose", "mark", "sweep", "sweep begins", "sweep ends", "load")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from("ab")), max_size=60))
def test_first_deliveries_are_in_sequence_whatever_happens_and_all_events_arrive_in_the_end(
    steps: list[tuple[str, str]],
) -> None:
    world = World()
    for action, order_id in steps:
        world.do(action, order_id)
    for _ in range(200):
        for action in ("send", "confirm", "mark"):
            world.do(action, "a")
        if world.backlog.size == 0:
            for order_id in "ab":
                world.do("sweep", order_id)
    for order_id, arrived in world.arrived.items():
        assert list(dict.fromkeys(arrived)) == list(range(1, world.committed[order_id] + 1))
    assert all(not world.unpublished(order_id) for order_id in "ab")
    assert world.backlog.lagging == frozenset()
