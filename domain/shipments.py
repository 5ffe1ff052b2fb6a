"""Shipments: parcels that left."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from domain.stored import Stored


class FulfillmentStatus(StrEnum):
    """How much of an order is shipped and delivered."""

    UNFULFILLED = "unfulfilled"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    DELIVERED = "delivered"


class ShipmentStatus(StrEnum):
    """Where a parcel is."""

    SHIPPED = "shipped"
    DELIVERED = "delivered"


class ShipmentLine(Stored, frozen=True):
    """How much of an order line is in a parcel."""

    item_id: str
    quantity: int


class Shipment(Stored, frozen=True, kw_only=True):
    """One parcel: lines and quantities, carrier, tracking."""

    shipment_id: str
    status: ShipmentStatus
    carrier: str
    tracking_number: str
    tracking_url: str | None
    lines: tuple[ShipmentLine, ...]
    shipped_at: datetime
    delivered_at: datetime | None = None
