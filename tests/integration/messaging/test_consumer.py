"""The bridge against a real RabbitMQ: delivered, waiting or set aside, but never lost."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import aio_pika
import pytest

from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from messaging import topology
from messaging.consuming.dead_letters import count_dead_letters
from messaging.envelope import InboundEvent
from tests.integration.messaging.consuming import LIMIT_S, Orders, Partner, bridging, confirmation
from tests.integration.messaging.probe_consumer import until
from tests.integration.wire import wire_to
from tests.queues import DELAYS


def not_found() -> Refused:
    return Refused(RefusalKind.NOT_FOUND, "order_not_found", "there is no such order")


async def test_an_event_is_delivered_and_then_gone(amqp_url: str, partner: Partner) -> None:
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.delivered == 1)
    assert orders.ids == ["e-1"]
    assert await partner.depth(topology.INBOX) == 0


async def test_all_four_types_reach_the_inbox(amqp_url: str, partner: Partner) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for name, exchange_name in topology.CONSUMED.items():
            exchange = await channel.get_exchange(exchange_name, ensure=False)
            await exchange.publish(aio_pika.Message(b"{}"), name)
    async with bridging(amqp_url, Orders().deliver) as bridge:
        await until(lambda: bridge.dead_lettered == 4)
    assert {letter.routing_key for letter in await partner.dead_letters(4)} == set(topology.CONSUMED)


@pytest.mark.parametrize(
    "answer",
    [
        not_found(),
        Refused(RefusalKind.NOT_FOUND, "payment_not_found", "not known"),
        Unavailable("shard_restarting", "not now"),
        OutcomeUnknown("no answer"),
        RuntimeError("a bug"),
    ],
    ids=lambda answer: type(answer).__name__,
)
async def test_what_may_succeed_later_is_tried_again_after_a_while(
    amqp_url: str, partner: Partner, answer: Exception
) -> None:
    orders = Orders(answer, answer)
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.delivered == 1)
    assert orders.ids == ["e-1"] * 3
    assert (bridge.retried, bridge.dead_lettered) == (2, 0)


async def test_after_five_delays_it_is_set_aside_and_says_why(amqp_url: str, partner: Partner) -> None:
    orders = Orders(*[not_found()] * 6)
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(confirmation("e-1"), message_id="e-1", headers={"tenant": "t"})
        (letter,) = await partner.dead_letters(1)
        assert (bridge.retried, bridge.dead_lettered) == (5, 1)
    assert len(orders.heard) == 6
    assert letter.body == confirmation("e-1")
    assert letter.message_id == "e-1"
    assert letter.headers["x-reason"] == "order_not_found"
    assert letter.headers["x-detail"] == "there is no such order"
    assert letter.headers["x-attempt"] == 5
    assert letter.headers["x-original-exchange"] == "paymentsvc.events"
    assert letter.headers["x-original-routing-key"] == "PagoConfirmado"
    assert letter.headers["tenant"] == "t"


async def test_a_message_waits_out_its_delay(amqp_url: str, partner: Partner) -> None:
    times: list[float] = []

    async def deliver(_: InboundEvent) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 4:
            raise Unavailable("not_now", "")

    async with bridging(amqp_url, deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.delivered == 1)
    waits_ms = [(after - before) * 1000 for before, after in pairwise(times)]
    assert [wait_ms >= delay.delay_ms * 0.9 for wait_ms, delay in zip(waits_ms, DELAYS, strict=False)] == [True] * 3


async def test_what_is_refused_by_the_rules_is_set_aside_at_once(amqp_url: str, partner: Partner) -> None:
    orders = Orders(Refused(RefusalKind.UNPROCESSABLE, "idempotency_key_reused", "other content"))
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        (letter,) = await partner.dead_letters(1)
    assert letter.headers["x-reason"] == "idempotency_key_reused"
    assert (len(orders.heard), bridge.retried) == (1, 0)


async def test_poison_is_set_aside_and_those_behind_it_are_delivered(amqp_url: str, partner: Partner) -> None:
    poison = {
        "not_json": b"\xff\xfe",
        "unknown_type": confirmation("e-1", type="PagoOlvidado"),
        "invalid_data": confirmation("e-1", data={}),
        "invalid_attribute": b"[]",
        "too_large": b"x" * 5 * 1024 * 1024,
    }
    orders = Orders()
    async with bridging(amqp_url, orders.deliver, message_max_bytes=1_000_000) as bridge:
        for body in poison.values():
            await partner.publish(body, expiration=60, priority=3, headers={"x-attempt": "nonsense"})
        await partner.publish(b"")
        await partner.publish(confirmation("e-2"))
        letters = await partner.dead_letters(6)
        await until(lambda: bridge.delivered == 1)
    reasons = {str(letter.headers["x-reason"]): letter for letter in letters}
    assert set(reasons) == set(poison)
    for reason, body in poison.items():
        if reason != "not_json":  # the empty body is none either
            assert reasons[reason].body == body
        assert reasons[reason].headers["x-detail"]
        assert reasons[reason].expiration is None
    assert orders.ids == ["e-2"]


async def test_a_delivery_that_hangs_is_tried_again(amqp_url: str, partner: Partner) -> None:
    heard = 0

    async def deliver(_: InboundEvent) -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            await asyncio.Event().wait()

    async with bridging(amqp_url, deliver, deliver_timeout_s=0.1) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.delivered == 1)
    assert bridge.retried == 1


async def test_no_more_than_the_prefetch_is_at_work(amqp_url: str, partner: Partner) -> None:
    gate = asyncio.Event()

    async def deliver(_: InboundEvent) -> None:
        await gate.wait()

    async with bridging(amqp_url, deliver, prefetch_max_messages=3) as bridge:
        for number in range(10):
            await partner.publish(confirmation(f"e-{number}"))
        await until(lambda: bridge.at_work == 3)
        assert await partner.depth(topology.INBOX) == 7
        gate.set()
        await until(lambda: bridge.delivered == 10)


async def test_a_link_that_is_cut_loses_no_event(amqp_url: str, partner: Partner) -> None:
    orders = Orders(*[Unavailable("not_now", ""), None] * 30)
    wanted = {f"e-{number}" for number in range(60)}
    begun = asyncio.Event()

    async def deliver(event: InboundEvent) -> None:
        begun.set()
        await orders.deliver(event)

    async with wire_to(amqp_url) as (url, wire), bridging(url, deliver, prefetch_max_messages=8) as bridge:
        for number in range(60):
            begun.clear()
            await partner.publish(confirmation(f"e-{number}"))
            if number % 20 == 19:
                async with asyncio.timeout(LIMIT_S):
                    await begun.wait()  # a poll may look too late: at work is a moment only
                wire.cut()
        await until(lambda: set(orders.ids) == wanted and not orders.answers)
        await until(lambda: bridge.at_work == 0)
    assert await partner.depth(topology.DEAD_LETTERS) == 0


async def test_what_is_at_work_when_the_bridge_stops_is_finished_and_the_rest_stays(
    amqp_url: str, partner: Partner
) -> None:
    gate = asyncio.Event()
    heard: list[str] = []

    async def deliver(event: InboundEvent) -> None:
        heard.append(event.id)
        await gate.wait()

    async with bridging(amqp_url, deliver, prefetch_max_messages=1) as bridge:
        await partner.publish(confirmation("e-1"))
        await partner.publish(confirmation("e-2"))
        await until(lambda: bridge.at_work == 1)
        stopping = asyncio.create_task(bridge.stop(drain_timeout_s=10))
        asyncio.get_running_loop().call_later(0.1, gate.set)
        await stopping
        assert bridge.delivered == 1
    assert heard == ["e-1"]
    assert await partner.depth(topology.INBOX) == 1


async def test_what_is_not_finished_in_time_goes_back_to_the_inbox(amqp_url: str, partner: Partner) -> None:
    async def hang(_: InboundEvent) -> None:
        await asyncio.Event().wait()

    async with bridging(amqp_url, hang) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.at_work == 1)
        await bridge.stop(drain_timeout_s=0.1)
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        await until(lambda: bridge.delivered == 1)
    assert orders.ids == ["e-1"]


async def test_a_dead_letter_that_has_no_queue_to_go_to_stays_in_the_inbox(amqp_url: str, partner: Partner) -> None:
    async with bridging(amqp_url, Orders().deliver, requeue_pause_s=0.05) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.delivered == 1)  # its topology is declared by now, and not again
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(topology.DEAD_LETTERS, ensure=False)
            await queue.unbind(topology.DEAD, "#")
            await partner.publish(b"poison")
            await until(lambda: bridge.at_work == 1)
            async with asyncio.timeout(LIMIT_S):
                await bridge._idle.wait()  # it comes again at once, so a poll hardly ever sees that nothing is at work
            assert bridge.dead_lettered == 0
            await queue.bind(topology.DEAD, "#")
        await until(lambda: bridge.dead_lettered == 1)
    assert await count_dead_letters(amqp_url) == 1
