"""Stages 6 and 7: parcels leave, whole or in parts, and arrive. Neither waits for a partner."""

from __future__ import annotations

from msgspec.structs import replace

from domain.commands import Deliver, Ship
from domain.events import EventType
from domain.ids import shipment_id
from domain.order import Order, OrderLine, Status
from domain.shipments import Shipment, ShipmentLine, ShipmentStatus
from sagas.decision import CommandResult
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import emit, emit_update
from sagas.refusals import illegal, not_found, unprocessable


def ship(builder: DecisionBuilder, command: Ship) -> CommandResult:
    """Send off a parcel with the lines named, or with all that is left. Raises ``Refused`` for more than is left."""
    order = builder.order
    parts = _parts(order, command)
    shipment = Shipment(
        shipment_id=shipment_id(order.id, len(order.shipments) + 1),
        status=ShipmentStatus.SHIPPED,
        carrier=command.carrier,
        tracking_number=command.tracking_number,
        tracking_url=command.tracking_url,
        lines=tuple(ShipmentLine(item, quantity) for item, quantity in parts.items()),
        shipped_at=builder.now,
    )
    lines = tuple(
        replace(line, shipped=line.shipped + parts[line.id]) if line.id in parts else line for line in order.lines
    )
    final = all(line.shipped == line.quantity for line in lines)
    builder.change(lines=lines, shipments=(*order.shipments, shipment))
    if final:
        builder.change(status=Status.SHIPPED, shipped_at=builder.now)
    parcel = {
        "shipment_id": shipment.shipment_id,
        "carrier": shipment.carrier,
        "tracking_number": shipment.tracking_number,
        "final": final,
    }
    listed = [{"item_id": line.item_id, "quantity": line.quantity} for line in shipment.lines]
    params = {**parcel, "tracking_url": shipment.tracking_url}
    emit(builder, EventType.SHIPPED, more={**parcel, "lines": listed}, params=params)
    return CommandResult()


def deliver(builder: DecisionBuilder, command: Deliver) -> CommandResult:
    """Note that a parcel arrived, or all that are under way. What arrived before changes nothing.

    Raises ``Refused``: ``shipment_not_found``, or ``illegal_transition`` where nothing was ever shipped.
    """
    order = builder.order
    if not order.shipments:
        raise illegal(builder, "deliver")
    if command.shipment_id is not None and all(each.shipment_id != command.shipment_id for each in order.shipments):
        raise not_found("shipment_not_found", "the order has no such shipment")
    for shipment in order.shipments:
        named = command.shipment_id is None or shipment.shipment_id == command.shipment_id
        if named and shipment.status is not ShipmentStatus.DELIVERED:
            _arrived(builder, shipment)
    return CommandResult()


def _arrived(builder: DecisionBuilder, arrived: Shipment) -> None:
    order = builder.order
    quantities = {line.item_id: line.quantity for line in arrived.lines}
    done = replace(arrived, status=ShipmentStatus.DELIVERED, delivered_at=builder.now)
    shipments = tuple(done if each.shipment_id == arrived.shipment_id else each for each in order.shipments)
    builder.change(
        shipments=shipments,
        lines=tuple(replace(line, delivered=line.delivered + quantities.get(line.id, 0)) for line in order.lines),
    )
    last = order.status is Status.SHIPPED and all(each.status is ShipmentStatus.DELIVERED for each in shipments)
    if not last:
        emit_update(builder, "shipments")
        return
    builder.change(status=Status.DELIVERED, delivered_at=builder.now)
    named = {"shipment_id": arrived.shipment_id}
    emit(builder, EventType.DELIVERED, more=named, params=named)


def _parts(order: Order, command: Ship) -> dict[str, int]:
    """Give item id -> pieces of the parcel; a line named twice counts once, with the sum."""
    if not command.lines:
        return {line.id: line.quantity - line.shipped for line in order.lines if line.shipped < line.quantity}
    by_id: dict[str, OrderLine] = {line.id: line for line in order.lines}
    parts: dict[str, int] = {}
    for position, wanted in enumerate(command.lines):
        item = wanted.item_id
        if item not in by_id:
            raise not_found("item_not_found", f"the order has no item {item}")
        parts[item] = parts.get(item, 0) + wanted.quantity
        rest = by_id[item].quantity - by_id[item].shipped
        if not 0 < parts[item] <= rest:
            place = f"/lines/{position}/quantity"
            raise unprocessable("quantity_out_of_range", f"of item {item} there are {rest} left to ship", place)
    return parts
