"""The queues that tests have on a RabbitMQ, ours and their own, and how a server that was given is rid of them."""

from __future__ import annotations

import aio_pika

from messaging import topology
from messaging.topology import Delay

EARS = "ordersvc.tests.ears"
# As many as the real ones, and as good as none.
DELAYS = tuple(Delay(f"ordersvc.tests.retry.{ms}ms", ms) for ms in (20, 30, 40, 50, 60))


async def delete_queues(url: str) -> None:
    """Delete them all, with what is in them."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for name in (topology.INBOX, topology.DEAD_LETTERS, EARS, *(d.queue for d in (*topology.DELAYS, *DELAYS))):
            await channel.queue_delete(name)
