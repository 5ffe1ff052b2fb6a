"""Somebody to publish to: a queue for every event and every notice, as any deployment has them.

Without one RabbitMQ gives each message back to the publisher, which costs both more than a delivery. Nobody consumes: the
consumers' work is not ours, and the queue is bounded, so that it costs the same however long it stands there.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aio_pika

from messaging.envelope import NOTICE_TYPE
from messaging.topology import EVENTS, NOTIFICATIONS

QUEUE = "bench.audience"
QUEUE_MAX_MESSAGES = 1000
# Only for one that was left behind: whoever measures takes it away.
UNUSED_MAX_MS = 3_600_000
TIMEOUT_S = 10.0


@contextlib.asynccontextmanager
async def audience(amqp_url: str) -> AsyncIterator[None]:
    """Have what the service publishes arrive somewhere, meanwhile."""
    connection = await aio_pika.connect(amqp_url, timeout=TIMEOUT_S)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            QUEUE,
            durable=True,
            arguments={"x-max-length": QUEUE_MAX_MESSAGES, "x-overflow": "drop-head", "x-expires": UNUSED_MAX_MS},
        )
        await queue.bind(EVENTS, "#")
        await queue.bind(NOTIFICATIONS, NOTICE_TYPE)
    try:
        yield
    finally:
        # The broker may have been restarted meanwhile.
        async with await aio_pika.connect(amqp_url, timeout=TIMEOUT_S) as again:
            await (await again.channel()).queue_delete(QUEUE)
