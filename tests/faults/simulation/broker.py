"""RabbitMQ, at the boundary of a channel: it takes frames in order, confirms when it likes, refuses, or goes away.

``messaging.publishing.publisher`` and ``messaging.connection`` run as they are; what they call of aio-pika and of ``confirms`` is put
in their place by ``hand_in``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from struct import pack
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import aio_pika
import msgspec
import pamqp.frame
from pamqp.commands import Basic
from pamqp.constants import FRAME_END_CHAR, FRAME_HEADER
from pamqp.header import ContentHeader

from messaging import connection, topology
from messaging.publishing import publisher
from tests.faults.simulation.chaos import NETWORK_MS
from tests.faults.simulation.loop import OWNER, Process

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

OnConfirm = Callable[[int, bool, bool], None]


class Frame(msgspec.Struct, array_like=True):
    """One message as a channel writes it."""

    exchange: str
    routing_key: str
    message_id: str
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_frame = msgspec.msgpack.Decoder(Frame)


def _message_id(properties: bytes) -> str:
    """As pamqp reads it in a content header."""
    payload = pack(">HHQ", Basic.frame_id, 0, 0) + properties
    _, _, header = pamqp.frame.unmarshal(pack(">BHI", FRAME_HEADER, 1, len(payload)) + payload + FRAME_END_CHAR)
    assert isinstance(header, ContentHeader)
    return header.properties.message_id or ""


class Broker:
    """Takes messages and shows each to the laws, in the order of their arrival."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_down = False
        self.connections: list[Connection] = []

    async def connect(self, url: object, timeout: float) -> Connection:
        """As ``aio_pika.connect``. Raises ``ConnectionError``."""
        await asyncio.sleep(self.world.chaos.among(NETWORK_MS))
        if self.is_down:
            raise ConnectionRefusedError("the broker is down")
        process = OWNER.get()
        assert process is not None
        connection = Connection(self, process)
        self.connections.append(connection)
        return connection

    def drop_all(self) -> None:
        """Every connection ends."""
        for each in list(self.connections):
            each.drop()

    def take(self, data: bytes) -> None:
        """A message has arrived: it is on the broker for good."""
        frame = _frame.decode(data)
        self.world.note("published", frame.message_id)
        self.world.laws.published(frame.exchange, frame.routing_key, frame.message_id, frame.body)


class Connection:
    """One connection, which is its own transport and the connection below that."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.broker = broker
        self.process = process
        self.is_lost = False
        self._closings: list[asyncio.Future[None]] = []

    @property
    def transport(self) -> Connection:
        return self

    @property
    def connection(self) -> Connection:
        return self

    @property
    def closing(self) -> asyncio.Future[None]:
        """Done when the connection is lost."""
        future: asyncio.Future[None] = self.broker.world.loop.create_future()
        if self.is_lost:
            future.set_result(None)
        else:
            self._closings.append(future)
        return future

    async def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        """It ends: what was written and has not arrived is gone, and so are the confirms."""
        if self.is_lost:
            return
        self.is_lost = True
        if self in self.broker.connections:
            self.broker.connections.remove(self)
        self.process.later(0.0, self._tell_closed)

    def _tell_closed(self) -> None:
        for future in self._closings:
            if not future.done():
                future.set_result(None)


class Channel:
    """As ``messaging.publishing.confirm_channel.ConfirmChannel``."""

    def __init__(self, connection: Connection, on_confirm: OnConfirm) -> None:
        self.delivery_tag = 0
        self._connection = connection
        self._on_confirm = on_confirm
        self._last_arrival_s = 0.0

    @property
    def closing(self) -> asyncio.Future[None]:
        return self._connection.closing

    def message_frames(self, *, exchange: str, routing_key: str, properties: bytes, body: bytes) -> bytes:
        return _encode(Frame(exchange, routing_key, _message_id(properties), body))

    async def send(self, frames: list[bytes]) -> None:
        """Write; what is written arrives in order, unless the connection ends before."""
        world = self._connection.broker.world
        for frame in frames:
            self.delivery_tag += 1
            at_s = max(self._last_arrival_s, world.loop.time() + world.chaos.among(NETWORK_MS))
            self._last_arrival_s = at_s
            world.loop.call_at(at_s, self._arrive, frame, self.delivery_tag, context=world.context)

    def _arrive(self, frame: bytes, tag: int) -> None:
        connection, chaos = self._connection, self._connection.broker.world.chaos
        if connection.is_lost:
            return
        if chaos.strikes(chaos.chances.connection_dropped):
            if chaos.strikes(0.5):
                connection.broker.take(frame)  # it is there, and the confirm is lost
            connection.drop()
            return
        is_ack = not chaos.strikes(chaos.chances.nack)
        if is_ack:
            connection.broker.take(frame)
        connection.process.later(chaos.among(NETWORK_MS) * 3, self._confirm, tag, is_ack)

    def _confirm(self, tag: int, is_ack: bool) -> None:
        if not self._connection.is_lost:
            self._on_confirm(*(tag, False, is_ack))


@contextmanager
def hand_in(world: World) -> Iterator[None]:
    """Let the publishers of this run meet the broker of this run, and their jitter come from its seed."""
    broker = world.broker

    async def open_channel(
        connection: Connection, number: int, on_confirm: OnConfirm, on_return: Callable[[], None]
    ) -> Channel:
        await asyncio.sleep(world.chaos.among(NETWORK_MS))
        return Channel(connection, on_confirm)

    async def declare(connection: Connection) -> None:
        await asyncio.sleep(world.chaos.among(NETWORK_MS))

    patches: list[Any] = [
        patch.object(aio_pika, "connect", broker.connect),
        patch.object(connection, "random", world.chaos.random),
        patch.object(publisher, "open_confirm_channel", open_channel),
        patch.object(topology, "declare", declare),
    ]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
