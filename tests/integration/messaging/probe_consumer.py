"""Ears: a queue on everything that is published, and what was heard there, in the order of its coming."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from messaging import topology
from messaging.publishing.publish_queue import Outbound
from tests.queues import EARS

POLL_S = 0.01
TIME = "2026-11-24T10:15:30.123Z"


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Return as soon as it is so; fails after ``limit_s``."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(POLL_S)


def outbound(order_id: str, *sequences: int, notice: bool = False) -> list[Outbound]:
    """Events of an order, each with a notice if wanted; small, but with what a publisher looks at."""

    def body(source: str, sequence: int) -> bytes:
        attributes = {"id": f"{source}-{sequence}", "source": source, "type": "PedidoActualizado", "time": TIME}
        return json.dumps({**attributes, "correlationid": order_id, "sequence": str(sequence)}).encode()

    return [
        Outbound(
            sequence=sequence,
            routing_key="PedidoActualizado",
            body=body(order_id, sequence),
            notice=body(f"{order_id}/notifications", sequence) if notice else None,
        )
        for sequence in sequences
    ]


class ProbeConsumer:
    """What was heard: the messages, and for each source its sequences, repeats included."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.messages: list[AbstractIncomingMessage] = []
        self.sequences: dict[str, list[int]] = defaultdict(list)

    async def hear(self, message: AbstractIncomingMessage) -> None:
        """Keep one message."""
        envelope: dict[str, Any] = json.loads(message.body)
        self.messages.append(message)
        self.sequences[envelope["source"]].append(int(envelope["sequence"]))
        await message.ack()

    def first_deliveries(self) -> dict[str, list[int]]:
        """For each source its sequences in the order of their first delivery."""
        return {source: list(dict.fromkeys(sequences)) for source, sequences in self.sequences.items()}

    def has_heard(self, count: int) -> bool:
        """Whether so many different messages have come."""
        return sum(len(set(sequences)) for sequences in self.sequences.values()) >= count


@asynccontextmanager
async def listening(amqp_url: str) -> AsyncIterator[ProbeConsumer]:
    """Ears on events and notices. The queue is durable, so it hears on after a restart of the broker."""
    async with await aio_pika.connect_robust(amqp_url, reconnect_interval=0.2) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        probe = ProbeConsumer(channel)
        queue = await channel.declare_queue(EARS, durable=True)
        await queue.bind(topology.EVENTS, "#")
        await queue.bind(topology.NOTIFICATIONS, "SolicitudNotificacion")
        await queue.consume(probe.hear)
        yield probe
