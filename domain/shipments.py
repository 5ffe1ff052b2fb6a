"""Shipments: parcels that left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ShipmentStatus(StrEnum):
    """Where a parcel is."""

    SHIPPED = "shipped"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class ShipmentLine:
    """How much of an order line is in a parcel."""

    item_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """One parcel: lines and quantities, carrier, tracking."""

    shipment_id: str
    status: ShipmentStatus
    carrier: str
    tracking_number: str
    tracking_url: str | None
    lines: tuple[ShipmentLine, ...]
    shipped_at: datetime
    delivered_at: datetime | None = None
