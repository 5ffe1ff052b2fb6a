"""The publisher against a real RabbitMQ: nothing is lost, first deliveries are in order, whatever happens to the link."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from local.rabbitmq import RabbitMQ
from local.servers import Servers
from local.state import State
from messaging.connection import BrokerConnectionPolicy
from messaging.publishing.publisher import Publisher, PublisherLimits
from tests.integration.messaging.probe_consumer import listening, outbound, until
from tests.integration.wire import wire_to

HASTY = BrokerConnectionPolicy(retry_first_s=0.02, retry_max_s=0.1, close_timeout_s=0.5)


class Marks:
    """What a publisher told of as confirmed. ``fails`` makes the telling fail."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, int]] = []
        self.groups: list[int] = []
        self.fails = False

    async def note(self, pairs: list[tuple[str, int]]) -> None:
        self.groups.append(len(pairs))
        if self.fails:
            raise ConnectionError("no database")
        self.pairs += pairs


@asynccontextmanager
async def publishing(url: str, marks: Marks, **limits: float) -> AsyncIterator[Publisher]:
    publisher = Publisher(
        url,
        on_confirmed=marks.note,
        limits=PublisherLimits(**limits),  # type: ignore[arg-type]
        connection_policy=HASTY,
    )
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop(drain_timeout_s=0)


def has_published_more(publisher: Publisher, than: int) -> bool:
    return publisher.published > than


async def test_events_of_each_order_arrive_in_sequence_with_their_notices_and_are_told_of(amqp_url: str) -> None:
    marks = Marks()
    async with listening(amqp_url) as probe, publishing(amqp_url, marks) as publisher:
        for order in range(50):
            publisher.offer(f"o-{order}", outbound(f"o-{order}", 1, 2, 3, notice=True))
        await until(lambda: len(marks.pairs) == 150 and probe.has_heard(300))
    assert all(sequences == [1, 2, 3] for sequences in probe.sequences.values())
    assert len(probe.sequences) == 100
    assert sorted(marks.pairs) == sorted((f"o-{order}", sequence) for order in range(50) for sequence in (1, 2, 3))
    assert (publisher.published, publisher.returned, publisher.retried) == (150, 0, 0)


async def test_a_message_outlives_a_restart_and_carries_its_attributes_as_properties(amqp_url: str) -> None:
    async with listening(amqp_url) as probe, publishing(amqp_url, Marks()) as publisher:
        publisher.offer("o-1", outbound("o-1", 1))
        await until(lambda: probe.has_heard(1))
    (message,) = probe.messages
    assert message.content_type == "application/cloudevents+json"
    assert message.message_id == "o-1-1"
    assert message.delivery_mode == 2
    assert (message.exchange, message.routing_key) == ("ordersvc.events", "PedidoActualizado")
    assert (message.type, message.app_id, message.correlation_id) == ("PedidoActualizado", "ordersvc", "o-1")
    assert message.timestamp == datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)
    assert message.headers == {
        "cloudEvents_id": "o-1-1",
        "cloudEvents_source": "o-1",
        "cloudEvents_type": "PedidoActualizado",
        "cloudEvents_time": "2026-11-24T10:15:30.123Z",
        "cloudEvents_correlationid": "o-1",
        "cloudEvents_sequence": "1",
    }


async def test_a_body_of_many_frames_arrives_whole(amqp_url: str) -> None:
    async with listening(amqp_url) as probe, publishing(amqp_url, Marks()) as publisher:
        (event,) = outbound("o-1", 1)
        filled = event.body[:-1] + b', "filling": "' + b"x" * 400_000 + b'"}'
        publisher.offer("o-1", [type(event)(sequence=1, routing_key=event.routing_key, body=filled)])
        publisher.offer("o-2", outbound("o-2", 1))
        await until(lambda: probe.has_heard(2))
    assert filled in [message.body for message in probe.messages]


async def test_an_event_that_no_queue_is_bound_for_is_counted_and_confirmed(amqp_url: str) -> None:
    marks = Marks()
    async with publishing(amqp_url, marks) as publisher:
        publisher.offer("o-1", outbound("o-1", 1, 2, notice=True))
        await until(lambda: len(marks.pairs) == 2)
    assert publisher.returned == 4


async def test_a_link_that_is_cut_again_and_again_loses_nothing_and_keeps_the_order(amqp_url: str) -> None:
    marks = Marks()
    orders, per_order = 40, 25
    async with listening(amqp_url) as probe, wire_to(amqp_url) as (url, wire), publishing(url, marks) as publisher:
        published_at_cut = 0
        for sequence in range(1, per_order + 1):
            for order in range(orders):
                publisher.offer(f"o-{order}", outbound(f"o-{order}", sequence))
            if sequence % 5 == 0:
                await until(partial(has_published_more, publisher, published_at_cut))
                wire.cut()
                published_at_cut = publisher.published
        await until(lambda: len(set(marks.pairs)) == orders * per_order)
        await until(lambda: probe.has_heard(orders * per_order))
    assert publisher.retried > 0
    assert probe.first_deliveries() == {f"o-{order}": list(range(1, per_order + 1)) for order in range(orders)}


async def test_events_whose_confirms_were_lost_are_published_again(amqp_url: str) -> None:
    marks = Marks()
    async with listening(amqp_url) as probe, wire_to(amqp_url) as (url, wire), publishing(url, marks) as publisher:
        publisher.offer("o-1", outbound("o-1", 1))
        await until(lambda: len(marks.pairs) == 1)
        wire.deaf = True
        publisher.offer("o-1", outbound("o-1", 2, 3))
        await until(lambda: probe.has_heard(2))
        assert marks.pairs == [("o-1", 1)]
        wire.cut()
        wire.deaf = False
        await until(lambda: len(marks.pairs) == 3)
        await until(lambda: probe.has_heard(3))
    assert probe.sequences["o-1"] == [1, 2, 2, 3]


async def test_without_a_broker_what_there_is_no_room_for_lags_and_comes_again_in_order(amqp_url: str) -> None:
    marks = Marks()
    async with listening(amqp_url) as probe, wire_to(amqp_url) as (url, wire):
        wire.down = True
        async with publishing(url, marks, queue_max_events=10) as publisher:
            for sequence in (1, 2, 3):
                for order in range(5):
                    publisher.offer(f"o-{order}", outbound(f"o-{order}", sequence))
            assert (publisher.waiting_events, publisher.room) == (10, 0)
            assert publisher.lagging() == {f"o-{order}" for order in range(5)}
            wire.down = False
            await until(lambda: len(marks.pairs) == 10)
            publisher.offer("o-0", outbound("o-0", 4))
            for order in range(5):
                publisher.offer(f"o-{order}", outbound(f"o-{order}", *((3, 4) if order == 0 else (3,))))
            await until(lambda: len(marks.pairs) == 16)
            await until(lambda: probe.has_heard(16))
            assert publisher.lagging_orders == 0
    assert probe.sequences == {"o-0": [1, 2, 3, 4], **{f"o-{order}": [1, 2, 3] for order in range(1, 5)}}


async def test_what_could_not_be_noted_as_confirmed_is_told_again_and_not_published_again(amqp_url: str) -> None:
    marks = Marks()
    marks.fails = True
    async with listening(amqp_url) as probe, publishing(amqp_url, marks) as publisher:
        publisher.offer("o-1", outbound("o-1", 1))
        await until(lambda: len(marks.groups) == 1)
        marks.fails = False
        publisher.offer("o-1", outbound("o-1", 1))
        await until(lambda: marks.pairs == [("o-1", 1)])
    assert probe.sequences["o-1"] == [1]


async def test_confirms_are_told_in_groups(amqp_url: str) -> None:
    marks = Marks()
    async with publishing(amqp_url, marks) as publisher:
        await until(lambda: publisher.is_connected)
        for order in range(1000):
            publisher.offer(f"o-{order}", outbound(f"o-{order}", 1))
        await until(lambda: len(marks.pairs) == 1000)
    assert len(marks.groups) <= 50


async def test_a_stop_publishes_what_waits_first(amqp_url: str) -> None:
    marks = Marks()
    async with listening(amqp_url) as probe:
        publisher = Publisher(amqp_url, on_confirmed=marks.note)
        await publisher.start()
        for order in range(100):
            publisher.offer(f"o-{order}", outbound(f"o-{order}", 1, 2))
        await publisher.stop(drain_timeout_s=20)
        assert len(marks.pairs) == 200
        await until(lambda: probe.has_heard(200))


async def test_a_stop_without_a_broker_ends_in_time(amqp_url: str) -> None:
    async with wire_to(amqp_url) as (url, wire):
        wire.down = True
        publisher = Publisher(url, on_confirmed=Marks().note, connection_policy=HASTY)
        await publisher.start()
        publisher.offer("o-1", outbound("o-1", 1))
        async with asyncio.timeout(5):
            await publisher.stop(drain_timeout_s=0.2)


async def test_while_the_broker_is_out_of_memory_everything_waits_and_nothing_is_lost(
    servers: Servers, private_amqp_url: str
) -> None:
    marks = Marks()
    async with (
        listening(private_amqp_url) as probe,
        publishing(private_amqp_url, marks, queue_max_events=100) as publisher,
    ):
        publisher.offer("o-0", outbound("o-0", 1))
        await until(lambda: len(marks.pairs) == 1)
        await servers.rabbitmq.evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.00001)")
        try:
            await until_blocked(lambda order: publisher.offer(f"b-{order}", outbound(f"b-{order}", 1)), publisher)
            held = publisher.published
            for order in range(200):
                publisher.offer(f"c-{order}", outbound(f"c-{order}", 1))
            assert publisher.waiting_events == 100
            assert publisher.lagging_orders > 0
        finally:
            await servers.rabbitmq.evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.9)")

        def sweep() -> bool:
            for order_id in publisher.lagging():
                publisher.offer(order_id, outbound(order_id, 1))
            return publisher.lagging_orders == 0 and publisher.waiting_events == 0

        await until(sweep)
        assert publisher.published >= held + 200
        await until(lambda: probe.has_heard(publisher.published))


async def until_blocked(offer: Callable[[int], None], publisher: Publisher) -> None:
    """Offer events until one is not confirmed: the broker blocks a connection when it next publishes."""
    for order in range(1000):
        published = publisher.published
        offer(order)
        try:
            await until(partial(has_published_more, publisher, published), limit_s=1.0)
        except TimeoutError:
            return
    raise AssertionError("the broker was not blocked")


async def test_a_broker_that_is_killed_and_started_again_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    rabbitmq = RabbitMQ(State(tmp_path))
    await rabbitmq.start()
    marks = Marks()
    try:
        async with listening(rabbitmq.url) as probe, publishing(rabbitmq.url, marks) as publisher:
            for sequence in (1, 2, 3):
                for order in range(100):
                    publisher.offer(f"o-{order}", outbound(f"o-{order}", sequence))
            await until(lambda: publisher.published > 0)
            assert rabbitmq.child is not None
            await rabbitmq.child.stop(signal.SIGKILL, 10)
            for order in range(100):
                publisher.offer(f"o-{order}", outbound(f"o-{order}", 4))
            await rabbitmq.start()
            await until(lambda: len(set(marks.pairs)) == 400, limit_s=40)
            await until(lambda: probe.has_heard(400))
        assert probe.first_deliveries() == {f"o-{order}": [1, 2, 3, 4] for order in range(100)}
    finally:
        await rabbitmq.stop()
