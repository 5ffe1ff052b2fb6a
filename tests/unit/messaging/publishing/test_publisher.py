from __future__ import annotations

from messaging.publishing.publish_queue import Line
from messaging.publishing.publisher import _Sent, _Session


class Told:
    def __init__(self) -> None:
        self.settled: list[tuple[str, bool]] = []

    def __call__(self, line: Line, is_taken: bool) -> None:
        self.settled.append((line.order_id, is_taken))


def session_with(*order_ids: str) -> tuple[_Session, Told]:
    """A session in which a message of each order is under way, with tags 1, 2, 3 …; an id twice: event and notice."""
    told = Told()
    session = _Session(told)
    sent: dict[str, _Sent] = {}
    for tag, order_id in enumerate(order_ids, start=1):
        of_order = sent.setdefault(order_id, _Sent(Line(order_id, 0)))
        of_order.awaited += 1
        session.under_way[tag] = of_order
    return session, told


def test_a_word_on_one_message_settles_that_one() -> None:
    session, told = session_with("a", "b")
    session.on_confirm(2, multiple=False, is_ack=True)
    assert told.settled == [("b", True)]


def test_a_word_on_several_settles_all_up_to_it() -> None:
    session, told = session_with("a", "b", "c")
    session.on_confirm(2, multiple=True, is_ack=True)
    assert told.settled == [("a", True), ("b", True)]


def test_an_event_is_settled_when_its_notice_is() -> None:
    session, told = session_with("a", "a")
    session.on_confirm(2, multiple=False, is_ack=True)
    assert told.settled == []
    session.on_confirm(1, multiple=False, is_ack=True)
    assert told.settled == [("a", True)]


def test_an_event_whose_notice_was_refused_was_not_taken() -> None:
    session, told = session_with("a", "a")
    session.on_confirm(2, multiple=False, is_ack=False)
    session.on_confirm(1, multiple=False, is_ack=True)
    assert told.settled == [("a", False)]


def test_what_was_under_way_at_the_end_is_given_back_once_and_late_words_find_nothing() -> None:
    session, told = session_with("a", "a", "b", "c")
    session.on_confirm(1, multiple=False, is_ack=True)
    session.on_confirm(3, multiple=False, is_ack=True)
    assert [line.order_id for line in session.end()] == ["a", "c"]
    session.on_confirm(4, multiple=True, is_ack=True)
    assert told.settled == [("b", True)]
