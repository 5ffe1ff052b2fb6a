"""Messages as no client library would write them: any bytes as properties, by frames made by hand."""

from __future__ import annotations

import struct

import pamqp.frame
from aio_pika.abc import AbstractConnection
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import commands as spec
from pamqp.body import ContentBody

BASIC = 60
HEADER_FRAME, FRAME_END = 2, b"\xce"
CONTENT_TYPE, HEADERS, PRIORITY, CORRELATION_ID = 1 << 15, 1 << 13, 1 << 11, 1 << 10
MESSAGE_ID, TIMESTAMP, TYPE, APP_ID = 1 << 7, 1 << 6, 1 << 5, 1 << 3


def short(text: bytes) -> bytes:
    """A short text."""
    return bytes([len(text)]) + text


def long(text: bytes) -> bytes:
    """A long text, or a table or list of these bytes."""
    return struct.pack(">I", len(text)) + text


def nested(depth: int) -> bytes:
    """A table within a table, and so on."""
    inside = b""
    for _ in range(depth):
        inside = short(b"k") + b"F" + long(inside)
    return long(inside)


async def publish_raw(
    connection: AbstractConnection, exchange: str, routing_key: str, body: bytes, flags: int, properties: bytes
) -> None:
    """Publish with these properties; ``flags`` say which they are, in the protocol's order."""
    transport = connection.transport
    assert transport is not None
    channel = await transport.connection.channel(publisher_confirms=False)
    assert isinstance(channel, Channel)
    number = channel.number
    header = struct.pack(">HHQH", BASIC, 0, len(body), flags) + properties
    frames = (
        pamqp.frame.marshal(spec.Basic.Publish(exchange=exchange, routing_key=routing_key), number),
        struct.pack(">BHI", HEADER_FRAME, number, len(header)) + header + FRAME_END,
        pamqp.frame.marshal(ContentBody(body), number),
    )
    await channel.write_queue.put(ChannelFrame(payload=b"".join(frames), should_close=False))
    await channel.close()
