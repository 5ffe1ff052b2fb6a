"""Stages 6 and 7: parcels, whole or in parts."""

from __future__ import annotations

import pytest

from domain.commands import Deliver, Ship
from domain.errors import RefusalKind
from domain.order import Status
from domain.representation import fulfillment_status
from domain.shipments import ShipmentLine
from tests.unit.sagas.builders import Story, prepared


def parcel(story: Story, *parts: tuple[int, int]) -> Ship:
    lines = tuple(ShipmentLine(story.order.lines[index].id, quantity) for index, quantity in parts)
    return Ship(carrier="correos", tracking_number="T1", tracking_url="https://track.test/T1", lines=lines)


def test_shipping_without_lines_sends_all_that_is_left() -> None:
    story = prepared()
    story.says(parcel(story))
    order = story.order
    assert (order.status, fulfillment_status(order), order.shipped_at) == (Status.SHIPPED, "shipped", story.now)
    assert [line.shipped for line in order.lines] == [2, 3]
    (event,) = story.decided.events
    assert (event.type.value, event.data["final"], event.data["tracking_number"]) == ("PedidoEnviado", True, "T1")
    assert event.notice is not None
    assert event.notice.template.value == "order_shipped"


def test_parts_are_shipped_and_delivered_one_by_one_and_only_the_last_closes_the_order() -> None:
    story = prepared()
    story.says(parcel(story, (0, 2)))
    assert (story.order.status, fulfillment_status(story.order)) == (Status.PREPARED, "partially_shipped")
    assert story.decided.events[0].data["final"] is False
    first = story.order.shipments[0].shipment_id
    story.says(Deliver(first))
    assert (story.types, story.order.status) == (["PedidoActualizado"], Status.PREPARED)
    assert [line.delivered for line in story.order.lines] == [2, 0]
    story.says(parcel(story))
    assert story.order.status is Status.SHIPPED
    story.says(Deliver())
    order = story.order
    assert (order.status, fulfillment_status(order)) == (Status.DELIVERED, "delivered")
    assert story.types == ["PedidoEntregado"]
    assert order.is_closed


def test_delivering_all_at_once_tells_of_each_parcel_and_of_the_last_as_delivered() -> None:
    story = prepared()
    story.says(parcel(story, (0, 2)))
    story.says(parcel(story))
    story.says(Deliver())
    assert story.types == ["PedidoActualizado", "PedidoEntregado"]


def test_a_delivery_noted_again_changes_nothing() -> None:
    story = prepared().ships()
    shipment = story.order.shipments[0].shipment_id
    story.says(Deliver(shipment))
    assert story.says(Deliver(shipment)).order is None
    assert story.says(Deliver()).order is None


@pytest.mark.parametrize("quantity", [0, -1, 3])
def test_no_more_than_is_left_can_be_shipped(quantity: int) -> None:
    story = prepared()
    refused = story.refuses(parcel(story, (0, quantity)))
    assert (refused.kind, refused.code) == (RefusalKind.UNPROCESSABLE, "quantity_out_of_range")


def test_a_line_that_is_named_twice_counts_with_its_sum() -> None:
    story = prepared()
    assert story.refuses(parcel(story, (0, 1), (0, 2))).code == "quantity_out_of_range"
    story.says(parcel(story, (0, 1), (0, 1)))
    assert [line.shipped for line in story.order.lines] == [2, 0]


def test_items_and_shipments_that_are_not_the_orders_are_not_found() -> None:
    story = prepared()
    refused = story.refuses(Ship(carrier="c", tracking_number="t", lines=(ShipmentLine("nothing", 1),)))
    assert (refused.kind, refused.code) == (RefusalKind.NOT_FOUND, "item_not_found")
    story.ships()
    refused = story.refuses(Deliver("nothing"))
    assert (refused.kind, refused.code) == (RefusalKind.NOT_FOUND, "shipment_not_found")


def test_nothing_is_delivered_that_was_never_shipped() -> None:
    assert prepared().refuses(Deliver()).code == "illegal_transition"
