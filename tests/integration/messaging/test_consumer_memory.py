"""However large messages are, the bridge holds a bounded number of bytes; against a real RabbitMQ."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from messaging import topology
from messaging.consuming.intake import SMALL_IN_A_ROW_MESSAGES
from messaging.envelope import InboundEvent
from tests.integration.messaging.consuming import Orders, Partner, bridging, confirmation
from tests.integration.messaging.probe_consumer import until

MIB = 1_048_576
PREFETCH = 128
AT_WORK_MAX = 4 * MIB


def resident_bytes() -> int:
    """What this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_as_many_large_messages_as_are_prefetched_do_not_fill_the_memory(amqp_url: str, partner: Partner) -> None:
    """With 128 of the broker's largest size, 128 bodies were in memory before the first had an answer."""
    for number in range(PREFETCH):
        await partner.publish(confirmation(f"e-{number}", padding="x" * MIB))
    gate = asyncio.Event()
    heard: set[str] = set()
    largest = 0

    async def deliver(event: InboundEvent) -> None:
        nonlocal largest
        await gate.wait()
        largest = max(largest, bridge.at_work_bytes)
        heard.add(event.id)

    before = resident_bytes()
    limits = {"prefetch_max_messages": PREFETCH, "at_work_max_bytes": AT_WORK_MAX, "message_max_bytes": 2 * MIB}
    async with bridging(amqp_url, deliver, **limits) as bridge:
        # One more than fits is at work: the first of those that are taken one at a time.
        await until(lambda: bridge.given_back > PREFETCH // 2 and bridge.at_work_bytes > AT_WORK_MAX - MIB)
        assert bridge.at_work_bytes <= AT_WORK_MAX + 2 * MIB
        assert bridge.at_work <= AT_WORK_MAX // MIB + 1
        assert resident_bytes() - before < PREFETCH * MIB / 2
        gate.set()
        await until(lambda: bridge.delivered == PREFETCH)
    assert len(heard) == PREFETCH
    assert largest <= AT_WORK_MAX + 2 * MIB
    assert await partner.depth(topology.INBOX) == 0


async def test_those_that_are_too_large_are_set_aside_one_by_one_and_small_ones_between_them_are_delivered(
    amqp_url: str, partner: Partner
) -> None:
    orders = Orders()
    for number in range(12):
        await partner.publish(b"x" * (2 * AT_WORK_MAX))
        await partner.publish(confirmation(f"e-{number}"))
    limits = {"prefetch_max_messages": PREFETCH, "at_work_max_bytes": AT_WORK_MAX}
    async with bridging(amqp_url, orders.deliver, **limits) as bridge:
        await until(lambda: (bridge.delivered, bridge.dead_lettered) == (12, 12))
        assert bridge.given_back > 0
    letters = await partner.dead_letters(12)
    assert {(letter.headers["x-reason"], len(letter.body)) for letter in letters} == {("too_large", 2 * AT_WORK_MAX)}
    assert set(orders.ids) == {f"e-{number}" for number in range(12)}


async def test_after_enough_small_ones_many_are_taken_at_a_time_again(amqp_url: str, partner: Partner) -> None:
    gate = asyncio.Event()
    gate.set()

    async def deliver(_: InboundEvent) -> None:
        await gate.wait()

    await partner.publish(b"x" * (2 * AT_WORK_MAX))
    limits = {"prefetch_max_messages": PREFETCH, "at_work_max_bytes": AT_WORK_MAX}
    async with bridging(amqp_url, deliver, **limits) as bridge:
        await until(lambda: bridge.dead_lettered == 1)
        for number in range(SMALL_IN_A_ROW_MESSAGES):
            await partner.publish(confirmation(f"e-{number}"))
        await until(lambda: bridge.delivered == SMALL_IN_A_ROW_MESSAGES)
        gate.clear()
        for number in range(10):
            await partner.publish(confirmation(f"f-{number}"))
        await until(lambda: bridge.at_work == 10)
        gate.set()
        await until(lambda: bridge.delivered == SMALL_IN_A_ROW_MESSAGES + 10)


async def test_a_consumer_that_the_broker_ends_begins_anew(amqp_url: str, partner: Partner) -> None:
    """After its queue was deleted, a bridge was connected and consumed nothing any more."""
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.delivered == 1)
        await partner.delete(topology.INBOX)
        connects = bridge.connects
        await until(lambda: bridge.connects > connects)
        await until(lambda: bridge.is_connected)
        await partner.declare()
        await partner.publish(confirmation("e-2"))
        await until(lambda: "e-2" in orders.ids)
