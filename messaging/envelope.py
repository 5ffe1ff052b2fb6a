"""The envelope: CloudEvents 1.0, written in structured JSON for what we publish and read in any mode for what we consume
(contracts/events.md).

Translation only: no connection, no clock, no opinion on what an event means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import force_setattr

from domain.events import Event
from domain.ids import named_id, uuid_text
from domain.limits import AMOUNT_MAX_MINOR
from domain.numbers import number
from domain.representation import time_text
from domain.times import TimeOutOfRange, read_event_time
from messaging import content_modes

CONTENT_TYPE = "application/cloudevents+json"
NOTICE_TYPE = "SolicitudNotificacion"
SEQUENCE_DIGITS = 20
BODY_MAX_BYTES = 1_048_576
DETAIL_MAX_CHARACTERS = 500
INT64_MAX = 2**63 - 1

T = TypeVar("T")

# The names of all event ids are derived within it; a new value would give every event a second id.
_IDS = UUID("6b1f0f5e-2f0c-5d0e-9d0a-5a1e8c3f7d24")
_encode = msgspec.json.Encoder().encode


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    sequence: str
    correlationid: str
    causationid: str
    traceparent: str | UnsetType = UNSET
    data: object


def event_id(order_id: str, sequence: int) -> str:
    """The id of an order's event: the same UUID each time it is asked for, and at every redelivery."""
    return named_id(_IDS, f"{order_id}/{sequence}")


def notice_id(order_id: str, sequence: int) -> str:
    """The id of an order's request to NotificationSvc; ``sequence`` counts notices, not events."""
    return named_id(_IDS, f"{order_id}/notifications/{sequence}")


def encode_event(order_id: str, event: Event) -> bytes:
    """Write one event of an order as it goes over the wire (UTF-8 JSON)."""
    return _encode(
        _Envelope(
            id=event_id(order_id, event.sequence),
            source=f"/ordersvc/orders/{order_id}",
            type=event.type.value,
            subject=order_id,
            time=time_text(event.at),
            sequence=_padded(event.sequence),
            correlationid=order_id,
            causationid=event.causation_id,
            traceparent=event.traceparent or UNSET,
            data=event.data,
        )
    )


def encode_notice(order_id: str, event: Event) -> bytes | None:
    """Write the request to NotificationSvc that goes with the event, or None. The event is its cause."""
    notice = event.notice
    if notice is None:
        return None
    return _encode(
        _Envelope(
            id=notice_id(order_id, notice.sequence),
            source=f"/ordersvc/orders/{order_id}/notifications",
            type=NOTICE_TYPE,
            subject=order_id,
            time=time_text(event.at),
            sequence=_padded(notice.sequence),
            correlationid=order_id,
            causationid=event_id(order_id, event.sequence),
            traceparent=event.traceparent or UNSET,
            data=notice.data,
        )
    )


def _padded(sequence: int) -> str:
    return str(sequence).zfill(SEQUENCE_DIGITS)


# What is consumed.


class UnreadableEvent(Exception):
    """The message can't be understood, and never will be.

    ``reason`` is one of ``too_large, not_json, invalid_attribute, unsupported_version, unknown_type, invalid_data``;
    ``detail`` says what is wrong and where (500 characters at most).
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail[:DETAIL_MAX_CHARACTERS]
        super().__init__(f"{reason}: {self.detail}")


# Control characters are refused: PostgreSQL can't keep a NUL in a text, and none of them belongs into an id or a name.
Word = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
Text = Annotated[str, Meta(max_length=2000, pattern=r"\A[^\x00]*\Z")]
OrderId = Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")]
Currency = Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]
Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MAX_MINOR)]
Fraction = Annotated[str, Meta(pattern=r"\A(0(\.[0-9]{1,10})?|1(\.0{1,10})?)\Z")]
Version = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Quantity = Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX)]


class MoneyData(msgspec.Struct, frozen=True):
    """Minor units of an ISO 4217 currency."""

    amount: Amount
    currency: Currency


class PaymentConfirmedData(msgspec.Struct, frozen=True, kw_only=True):
    """``PagoConfirmado``."""

    payment_id: Word
    order_id: OrderId
    amount: MoneyData
    gateway_ref: Word | None = None

    def __post_init__(self) -> None:
        _in_lower_case(self, "payment_id", "order_id")


class PaymentRejectedData(msgspec.Struct, frozen=True, kw_only=True):
    """``PagoRechazado``."""

    payment_id: Word
    order_id: OrderId
    code: Word
    message: Text | None = None

    def __post_init__(self) -> None:
        _in_lower_case(self, "payment_id", "order_id")


class InventoryUpdatedData(msgspec.Struct, frozen=True, kw_only=True):
    """``InventarioActualizado``. Each order in ``lost_holds`` lost its hold of ``sku``."""

    sku: Word
    available: Quantity
    version: Version
    unit_price: MoneyData | None = None
    tax_rate: Fraction | None = None
    name: Text | None = None
    lost_holds: Annotated[tuple[OrderId, ...], Meta(max_length=10_000)] | None = None

    def __post_init__(self) -> None:
        if self.lost_holds is not None:
            force_setattr(self, "lost_holds", tuple(uuid_text(order_id) for order_id in self.lost_holds))


class AddressData(msgspec.Struct, frozen=True, kw_only=True):
    """An address as UserSvc writes it."""

    address_id: Word
    line1: Text
    city: Text
    postal_code: Text
    country: Text
    line2: Text | None = None


class CustomerUpdatedData(msgspec.Struct, frozen=True, kw_only=True):
    """``ClienteActualizado``; what is None did not change."""

    customer_id: Word
    version: Version
    name: Text | None = None
    email: Text | None = None
    status: Word | None = None
    addresses: Annotated[tuple[AddressData, ...], Meta(max_length=1000)] | None = None


Data = PaymentConfirmedData | PaymentRejectedData | InventoryUpdatedData | CustomerUpdatedData

DATA_OF: dict[str, type[Data]] = {
    "PagoConfirmado": PaymentConfirmedData,
    "PagoRechazado": PaymentRejectedData,
    "InventarioActualizado": InventoryUpdatedData,
    "ClienteActualizado": CustomerUpdatedData,
}


def _in_lower_case(data: msgspec.Struct, *names: str) -> None:
    """UUIDs are compared without case, and written in lower case."""
    for name in names:
        force_setattr(data, name, uuid_text(getattr(data, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundEvent:
    """A partner's event that was understood. ``id`` is unique within ``source``; ``time`` is None where it lies outside of the
    years 1 to 9999.
    """

    source: str
    id: str
    type: str
    time: datetime | None
    data: Data
    subject: str | None = None
    traceparent: str | None = None


class _Attributes(msgspec.Struct, kw_only=True):
    specversion: str
    id: Word
    source: Word
    type: Word
    time: str
    datacontenttype: str | None = None
    subject: str | None = None
    traceparent: object = None


class _Structured(_Attributes, kw_only=True):
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: bytes | None = None


_decode_structured = msgspec.json.Decoder(_Structured).decode
_decode_values = msgspec.json.Decoder(float_hook=number).decode
_traceparent = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def decode(
    body: bytes,
    max_bytes: int = BODY_MAX_BYTES,
    *,
    content_type: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> InboundEvent:
    """Read a partner's event, in structured or binary mode by what ``content_type`` and ``headers`` of the message say. Unknown
    attributes and fields are passed over, as others may add them.

    Raises ``UnreadableEvent``, which says what is wrong.
    """
    if len(body) > max_bytes:
        raise UnreadableEvent("too_large", f"the body has {len(body)} bytes, {max_bytes} are read at most")
    if content_modes.is_batched(content_type):
        raise UnreadableEvent("invalid_attribute", "several events in one message (batched mode) are not read")
    if content_modes.is_binary(content_type, headers or {}):
        found = content_modes.attributes_of(content_type, headers or {})
        attributes = _understood(lambda: msgspec.convert(found, _Attributes), "invalid_attribute", "")
        data = body
    else:
        attributes = structured = _understood(lambda: _decode_structured(body), "invalid_attribute", "")
        data = _data_of(structured)
    if attributes.specversion != "1.0":
        raise UnreadableEvent("unsupported_version", f"specversion is {attributes.specversion!r}, only '1.0' is read")
    if attributes.datacontenttype is not None and not content_modes.is_json(attributes.datacontenttype):
        raise UnreadableEvent(
            "invalid_attribute", f"datacontenttype is {attributes.datacontenttype!r}, only JSON is read"
        )
    kind = DATA_OF.get(attributes.type)
    if kind is None:
        raise UnreadableEvent("unknown_type", f"no event of type {attributes.type!r} is consumed here")
    time: datetime | None = None
    try:
        time = read_event_time(attributes.time)
    except TimeOutOfRange:
        pass  # nothing depends on it here
    except ValueError as error:
        raise UnreadableEvent("invalid_attribute", f"time is {attributes.time!r}: {error}") from None
    traceparent = attributes.traceparent
    return InboundEvent(
        source=attributes.source,
        id=uuid_text(attributes.id),
        type=attributes.type,
        time=time,
        data=_understood(lambda: msgspec.convert(_decode_values(data), kind), "invalid_data", "data: "),
        subject=attributes.subject,
        traceparent=traceparent if isinstance(traceparent, str) and _traceparent.fullmatch(traceparent) else None,
    )


def _data_of(event: _Structured) -> bytes:
    """The JSON document of the data, ``null`` where there is none."""
    if event.data_base64 is None:
        return bytes(event.data) or b"null"
    if bytes(event.data):
        raise UnreadableEvent("invalid_attribute", "data and data_base64 are both there")
    return event.data_base64


def _understood(read: Callable[[], T], reason: str, where: str) -> T:
    """Read, with any fault in it as ``UnreadableEvent``."""
    try:
        return read()
    except msgspec.ValidationError as error:
        raise UnreadableEvent(reason, f"{where}{error}") from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise UnreadableEvent("not_json", f"{where}{error}") from None
