"""Whatever is in a message, it has its effect or is set aside, and the next one is consumed; against a real RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

import aio_pika
import pytest

from domain.errors import Unavailable
from messaging import topology
from messaging.consuming.dead_letters import resend_dead_letters
from messaging.envelope import InboundEvent
from messaging.topology import CONSUMED
from tests.integration.messaging import raw
from tests.integration.messaging.consuming import ORDER_ID, Orders, Partner, bridging, confirmation
from tests.integration.messaging.probe_consumer import until
from tests.integration.messaging.test_consumer_exchanges import DATA, event

GOOD = confirmation("good")
HUGE = 10**399
SURROGATE = "\\ud800"
TIMES = [
    "0001-01-01T00:00:00+01:00",
    "0001-01-01T00:00:00+23:59",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999-00:01",
    "9999-12-31T23:59:60Z",
    "9999-12-31T23:59:59-23:59",
    "+10000-01-01T00:00:00Z",
]
VALUES = [
    HUGE, -HUGE, 2**63, -(2**63) - 1, 1.5, "0_1", "٣", "nul\0", "x" * 300, True, [], {}, [[[]]], {"deep": {"er": [1]}}, "",
]  # fmt: skip


@pytest.mark.parametrize("event_type", [*CONSUMED])
async def test_an_event_whose_own_time_is_out_of_range_has_its_effect_and_is_counted(
    amqp_url: str, partner: Partner, event_type: str
) -> None:
    """A default date of .NET, east of Greenwich, was neither acknowledged nor set aside; 128 of them stopped the inbox for good."""
    orders = Orders()
    async with bridging(amqp_url, orders.deliver, prefetch_max_messages=len(TIMES)) as bridge:
        for time in TIMES:
            body = event(event_type, time).replace(b"2026-11-24T10:15:30Z", time.encode())
            await partner.publish(body, exchange=CONSUMED[event_type], routing_key=event_type)
        await partner.publish(GOOD)
        await until(lambda: bridge.delivered == len(TIMES) + 1)
        assert bridge.times_out_of_range == len(TIMES)
        assert bridge.dead_lettered == 0
    assert set(orders.ids) == {*TIMES, "good"}


def fields(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all fields of an object."""
    if not isinstance(data, dict):
        return []
    return [each for name, value in data.items() for each in [(*path, name), *fields(value, (*path, name))]]


def with_value(body: bytes, path: tuple[str, ...], value: Any) -> bytes:
    whole = json.loads(body)
    place = whole
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(whole).encode()


OPTIONAL: dict[str, dict[str, Any]] = {
    "PagoConfirmado": {"gateway_ref": "g"},
    "PagoRechazado": {"message": "m"},
    "InventarioActualizado": {
        "unit_price": {"amount": 1, "currency": "EUR"}, "tax_rate": "0.21", "name": "n", "lost_holds": [ORDER_ID],
    },
    "ClienteActualizado": {"name": "n", "email": "e", "status": "s", "addresses": []},
}  # fmt: skip


def odd_bodies(event_type: str) -> list[bytes]:
    """An event of this type with each odd value in each field."""
    whole = with_value(event(event_type), ("data",), {**DATA[event_type], **OPTIONAL[event_type]})
    paths = fields(json.loads(whole))
    bodies = [with_value(whole, path, value) for path in paths for value in VALUES]
    bodies += [with_value(whole, path, "SURROGATE").replace(b"SURROGATE", SURROGATE.encode()) for path in paths]
    bodies += [with_value(whole, path, "BYTES").replace(b"BYTES", b"\xff\xed\xa0\x80") for path in paths]
    bodies += [with_value(whole, path, "DEEP").replace(b'"DEEP"', b"[" * 50_000 + b"]" * 50_000) for path in paths]
    return bodies + [with_value(whole, path, "BIG").replace(b'"BIG"', b"1e999999999999999999999") for path in paths]


@pytest.mark.parametrize("event_type", [*CONSUMED])
async def test_odd_values_in_each_field_are_delivered_or_set_aside(
    amqp_url: str, partner: Partner, event_type: str
) -> None:
    bodies = odd_bodies(event_type)
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        for body in bodies:
            await partner.publish(body, exchange=CONSUMED[event_type], routing_key=event_type)
        await partner.publish(GOOD)
        await until(lambda: bridge.delivered + bridge.dead_lettered == len(bodies) + 1)
        await until(lambda: bridge.at_work == 0)
        assert bridge.retried == 0
    assert "good" in orders.ids
    assert await partner.depth(topology.INBOX) == 0
    for heard in orders.heard:
        can_be_stored(heard)


def can_be_stored(heard: InboundEvent) -> None:
    """What PostgreSQL and the wire between processes take: no NUL, no lone surrogate, integers of 64 bits."""

    def look(value: Any) -> None:
        if isinstance(value, str):
            assert "\0" not in value.encode().decode()
        elif isinstance(value, int):
            assert -(2**63) <= value < 2**63
        elif isinstance(value, tuple):
            for each in value:
                look(each)
        elif hasattr(value, "__struct_fields__"):
            for name in value.__struct_fields__:
                look(getattr(value, name))

    for value in (heard.id, heard.source, heard.type, heard.data):
        look(value)


NOT_UTF8 = b"\xff\xfe\xed\xa0\x80"
PROPERTIES: dict[str, tuple[int, bytes]] = {
    "time_beyond": (raw.TIMESTAMP, struct.pack(">Q", 2**64 - 1)),
    "time_in_microseconds": (raw.TIMESTAMP, struct.pack(">Q", 1_764_000_000_000_000)),
    "content_type": (raw.CONTENT_TYPE, raw.short(NOT_UTF8)),
    "content_type_long": (raw.CONTENT_TYPE, raw.short(b"\xff" * 255)),
    "message_id": (raw.MESSAGE_ID, raw.short(NOT_UTF8)),
    "message_id_long": (raw.MESSAGE_ID, raw.short(b"\xff" * 255)),
    "correlation_id": (raw.CORRELATION_ID, raw.short(b"\xff" * 255)),
    "type": (raw.TYPE, raw.short(NOT_UTF8)),
    "app_id": (raw.APP_ID, raw.short(NOT_UTF8)),
    "priority": (raw.PRIORITY, b"\xff"),
    "header_name": (raw.HEADERS, raw.long(raw.short(NOT_UTF8) + b"I" + struct.pack(">i", 1))),
    "header_value": (raw.HEADERS, raw.long(raw.short(b"k") + b"S" + raw.long(NOT_UTF8))),
    "header_time": (raw.HEADERS, raw.long(raw.short(b"k") + b"T" + struct.pack(">Q", 2**64 - 1))),
    "header_decimal": (raw.HEADERS, raw.long(raw.short(b"k") + b"D\xff" + struct.pack(">I", 2**32 - 1))),
    "header_bytes": (raw.HEADERS, raw.long(raw.short(b"k") + b"x" + raw.long(NOT_UTF8))),
    "headers_deep": (raw.HEADERS, raw.nested(10_000)),
    "headers_large": (raw.HEADERS, raw.long(raw.short(b"k") + b"S" + raw.long(b"x" * 100_000))),
    "original_key_long": (
        raw.HEADERS, raw.long(raw.short(b"x-original-routing-key") + b"S" + raw.long(b"x" * 1000)),
    ),
    **{
        f"{name}_fills_the_frame": (
            raw.HEADERS, raw.long(raw.short(name.encode()) + b"S" + raw.long(b"x" * (130_995 - len(name)))),
        )
        for name in ("x-first-received", "x-original-exchange", "x-original-routing-key", "x-reason", "cloudEvents-", "k")
    },
    "original_exchange": (
        raw.HEADERS, raw.long(raw.short(b"x-original-exchange") + b"F" + raw.nested(2)),
    ),
    "attempt": (raw.HEADERS, raw.long(raw.short(b"x-attempt") + b"l" + struct.pack(">q", -(2**63)))),
}  # fmt: skip


@pytest.mark.parametrize("is_good", [True, False])
async def test_odd_properties_end_no_connection(amqp_url: str, partner: Partner, is_good: bool) -> None:
    """A time in the properties that no calendar has ended the connection, and again at each redelivery: nothing was consumed."""
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge, await aio_pika.connect(amqp_url) as connection:
        await until(lambda: bridge.is_connected)
        for name, (flags, properties) in PROPERTIES.items():
            body = confirmation(name) if is_good else b"poison " + name.encode()
            await raw.publish_raw(connection, "paymentsvc.events", "PagoConfirmado", body, flags, properties)
        await partner.publish(GOOD)
        await until(lambda: bridge.delivered + bridge.dead_lettered == len(PROPERTIES) + 1)
        assert bridge.connects == 1
        assert bridge.retried == 0
    assert set(orders.ids) == ({*PROPERTIES, "good"} if is_good else {"good"})
    if not is_good:
        letters = await partner.dead_letters(len(PROPERTIES))
        assert {letter.body for letter in letters} == {b"poison " + name.encode() for name in PROPERTIES}
        assert {letter.headers["x-reason"] for letter in letters} == {"not_json"}


class Odd(Exception):
    """One that can't even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RuntimeError("a bug " + "x" * 600), "RuntimeError: a bug"),
        (lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), "UnicodeEncodeError"),
        (lambda: OverflowError("date value out of range"), "OverflowError: date value"),
        (lambda: RecursionError("too deep"), "RecursionError"),
        (MemoryError, "MemoryError"),
        (lambda: asyncio.CancelledError("of a task that somebody else cancelled"), "CancelledError"),
        (lambda: ExceptionGroup("several", [ValueError("1")]), "several"),
        (lambda: RuntimeError("\ud800 \0"), "RuntimeError"),
        (Odd, "Odd"),
    ],
)
async def test_whatever_is_unforeseen_is_tried_again_and_then_set_aside_with_its_text(
    amqp_url: str, partner: Partner, make: Callable[[], BaseException], text: str
) -> None:
    async def deliver(event: InboundEvent) -> None:
        if event.id != "good":
            raise make()

    async with bridging(amqp_url, deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        await partner.publish(GOOD)
        (letter,) = await partner.dead_letters(1)
        await until(lambda: bridge.delivered == 1)
        assert bridge.retried == 5
    assert letter.headers["x-reason"] == "internal_error"
    assert text in str(letter.headers["x-detail"])
    assert len(str(letter.headers["x-detail"])) <= 500


async def test_what_raises_before_it_is_delivered_is_unforeseen_like_any_other(
    amqp_url: str, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> InboundEvent:
        raise OverflowError("date value out of range")

    monkeypatch.setattr("messaging.consuming.consumer.decode", broken)
    async with bridging(amqp_url, Orders().deliver) as bridge:
        await partner.publish(confirmation("e-1"))
        (letter,) = await partner.dead_letters(1)
        assert bridge.retried == 5
    assert (letter.headers["x-reason"], letter.headers["x-detail"]) == (
        "internal_error",
        "OverflowError: date value out of range",
    )


async def test_what_has_no_answer_for_too_long_is_counted(amqp_url: str, partner: Partner) -> None:
    gate = asyncio.Event()

    async def deliver(_: InboundEvent) -> None:
        await gate.wait()

    async with bridging(amqp_url, deliver, answer_max_s=0.05) as bridge:
        await partner.publish(confirmation("e-1"))
        await until(lambda: bridge.unanswered == 1)
        gate.set()
        await until(lambda: bridge.delivered == 1 and bridge.at_work == 0)
        assert bridge.unanswered == 0


async def test_what_can_not_be_set_aside_is_counted_until_it_can(amqp_url: str, partner: Partner) -> None:
    async with bridging(amqp_url, Orders().deliver, requeue_pause_s=0.02, answer_max_s=0.5) as bridge:
        await partner.publish(GOOD)
        await until(lambda: bridge.delivered == 1)
        await partner.unbind(topology.DEAD_LETTERS, topology.DEAD, "#")
        await partner.publish(b"poison")
        await until(lambda: bridge.unanswered == 1)
        await partner.declare()
        await until(lambda: bridge.dead_lettered == 1 and bridge.at_work == 0)
        assert bridge.unanswered == 0


async def test_a_binary_event_keeps_its_attributes_through_delays_dead_letters_and_resending(
    amqp_url: str, partner: Partner
) -> None:
    orders = Orders(*[Unavailable("not_now", "")] * 7)
    attributes = {"specversion": "1.0", "id": "e-1", "source": "/paymentsvc", "type": "PagoConfirmado"}
    headers = {f"cloudEvents_{name}": value for name, value in attributes.items()}
    headers |= {"cloudEvents:time": "2026-11-24T10:15:30Z", "big": "x" * 4000, "tenant": "t"}
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(
            json.dumps(DATA["PagoConfirmado"]).encode(), headers=headers, content_type="application/json; charset=utf-8"
        )
        await until(lambda: bridge.dead_lettered == 1)
        assert await resend_dead_letters(amqp_url) == 1
        await until(lambda: bridge.delivered == 1)
    assert orders.ids == ["e-1"] * 8
    assert {event.source for event in orders.heard} == {"/paymentsvc"}
