"""Messages that fit the AsyncAPI document but for some place, in every mode that CloudEvents has, and bytes that are none at all."""

from __future__ import annotations

import base64
import random
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldValue

from messaging import topology
from tests.fuzz.edges import TIMES, Edges, Raw, write
from tests.fuzz.findings import Findings
from tests.fuzz.world import World

STRUCTURED = "application/cloudevents+json"
FRAME_MAX_BYTES = 131_072
HEADERS = (
    "x-first-received", "x-original-exchange", "x-original-routing-key", "x-attempt", "x-reason", "x-detail", "x-death",
    "x-delivery-count", "cloudEvents_id", "cloudEvents:type", "k",
)  # fmt: skip
BODIES = (
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"[" * 4000,
    b"{" * 4000,
    b'"\xed\xa0\x80"',
    b"\x00" * 100,
    b"1" * 5000,
    b'{"a":' * 2000,
)
TYPES = (
    "",
    "text/plain",
    "application/json",
    "application/cloudevents+json; charset=utf-16",
    "application/cloudevents-batch+json",
    "\u00e9",
)


class Events:
    """Publishes them to the partners' exchanges."""

    def __init__(
        self, rng: random.Random, document: Any, world: World, channel: AbstractChannel, findings: Findings
    ) -> None:
        self._rng = rng
        self._edges = Edges(rng, document)
        self._schemas = document["components"]["schemas"]
        self._world = world
        self._channel = channel
        self._findings = findings
        self.sent = 0

    async def once(self) -> None:
        """Publish one message."""
        kind, exchange = self._rng.choice(list(topology.CONSUMED.items()))
        if self._rng.random() < 0.05:
            exchange = self._rng.choice(list(topology.CONSUMED.values()))
        schema = self._edges.resolved(self._schemas[kind])
        envelope = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/fuzz",
            "type": kind,
            "time": "2026-11-24T10:15:30.123Z",
            "data": self._about_ours(self._edges.good(schema["properties"]["data"])),
        }
        if self._rng.random() < 0.1:
            envelope["time"] = self._rng.choice(TIMES)
        envelope = self._edges.spoilt(schema, envelope, self._rng.choice((0, 1, 1, 1, 2)))
        message = self._with_odd_header(self._message(envelope))
        place = await self._channel.get_exchange(exchange, ensure=False)
        await place.publish(message, kind)
        self.sent += 1
        self._findings.answers["events sent"] += 1

    def _message(self, envelope: Any) -> aio_pika.Message:
        how = self._rng.random()
        message_id = str(uuid4())
        if how < 0.05:
            return aio_pika.Message(self._rng.choice(BODIES), content_type=STRUCTURED, message_id=message_id)
        if not isinstance(envelope, dict) or how < 0.75:
            content_type = STRUCTURED if how < 0.7 else self._rng.choice(TYPES)
            return aio_pika.Message(_bytes(envelope), content_type=content_type, message_id=message_id)
        data = envelope.get("data")
        if how < 0.85:
            encoded = base64.b64encode(_bytes(data)).decode()
            rest = {name: value for name, value in envelope.items() if name != "data"}
            rest["data_base64"] = encoded if self._rng.random() < 0.8 else self._edges.edge({"type": "string"})
            return aio_pika.Message(_bytes(rest), content_type=STRUCTURED, message_id=message_id)
        prefix = self._rng.choice(("cloudEvents_", "cloudEvents:"))
        headers: dict[str, Any] = {
            prefix + name: value if isinstance(value, str | int | bool) and abs(hash(value)) < 2**62 else write(value)
            for name, value in envelope.items()
            if name != "data" and name.isascii() and len(name) < 200
        }
        headers = {name: _storable(value) for name, value in headers.items()}
        return aio_pika.Message(_bytes(data), headers=headers, content_type="application/json", message_id=message_id)

    def _with_odd_header(self, message: aio_pika.Message) -> aio_pika.Message:
        """Now and then a header of a name that means something here, as large as a frame allows, or of another type."""
        if self._rng.random() < 0.1:
            name = self._rng.choice(HEADERS)
            room = FRAME_MAX_BYTES - 1024 - sum(len(str(each)) + len(key) + 16 for key, each in message.headers.items())
            values: tuple[FieldValue, ...] = ("x" * max(room, 0), "", 5, -1, True, None, ["x"])
            message.headers = {**message.headers, name: self._rng.choice(values)}
        return message

    def _about_ours(self, data: Any) -> Any:
        ids = self._world.ids() if self._world.orders else {}
        if isinstance(data, dict):
            data = {name: ids.get(name, value) for name, value in data.items()}
            if "lost_holds" in data:
                data["lost_holds"] = [ids.get("order_id", "x")]
        return data


def _bytes(value: Any) -> bytes:
    return write(Raw("null") if value is None else value).encode("utf-8", "surrogatepass")


def _storable(value: Any) -> Any:
    """What AMQP's tables take."""
    return value.encode("utf-8", "replace").decode()[:5000] if isinstance(value, str) else value
