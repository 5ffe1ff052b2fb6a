from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pamqp.encode
import pytest
from aio_pika import DeliveryMode

from messaging.consuming import redelivery
from messaging.consuming.delivery import Delivery


def received(headers: dict[str, Any] | None = None, **changes: Any) -> Delivery:
    """As much of a consumed message as a parcel is made from."""
    attributes: dict[str, Any] = {
        "body": b"body",
        "headers": headers or {},
        "exchange": "paymentsvc.events",
        "routing_key": "PagoConfirmado",
        "content_type": "application/cloudevents+json",
        "content_encoding": None,
        "message_id": "e-1",
        "correlation_id": None,
        "timestamp": datetime(2026, 11, 24, tzinfo=UTC),
        "type": None,
        "app_id": None,
        **changes,
    }
    return Delivery(**attributes)


def test_a_parcel_keeps_the_message_and_says_where_it_came_from() -> None:
    sent = redelivery.as_dead_letter(received(), "not_json", "at byte 0")
    assert (sent.body, sent.message_id, sent.content_type) == (b"body", "e-1", "application/cloudevents+json")
    assert sent.delivery_mode is DeliveryMode.PERSISTENT
    assert sent.headers["x-reason"] == "not_json"
    assert sent.headers["x-detail"] == "at byte 0"
    assert sent.headers["x-attempt"] == 0
    assert sent.headers["x-original-exchange"] == "paymentsvc.events"
    assert sent.headers["x-original-routing-key"] == "PagoConfirmado"


def test_a_time_to_live_is_not_kept_since_it_would_make_a_dead_letter_vanish() -> None:
    sent = redelivery.as_dead_letter(received(), "r", "d")
    assert (sent.expiration, sent.user_id) == (None, None)


def test_the_first_origin_and_time_are_kept_through_every_wait() -> None:
    first = redelivery.as_delayed(received(), 1, "order_not_found", "")
    back = received(dict(first.headers), exchange="", routing_key="ordersvc.inbox")
    second = redelivery.as_delayed(back, 2, "order_not_found", "")
    for header in ("x-original-exchange", "x-original-routing-key", "x-first-received"):
        assert second.headers[header] == first.headers[header]
    assert second.headers["x-attempt"] == 2


def test_a_letter_that_is_tried_anew_has_all_its_attempts_before_it() -> None:
    dead = redelivery.as_dead_letter(received({"x-attempt": 5}), "order_not_found", "d")
    anew = redelivery.as_first_delivery(received(dict(dead.headers), exchange="ordersvc.dead"))
    assert not {"x-attempt", "x-reason", "x-detail"} & set(anew.headers)
    assert anew.headers["x-original-exchange"] == "paymentsvc.events"


def test_the_senders_headers_are_kept_but_for_those_that_the_broker_would_act_upon() -> None:
    headers = {"tenant": "t-1", "CC": ["elsewhere"], "BCC": ["elsewhere"], "x-death": [{}], "x-first-death-queue": "q"}
    sent = redelivery.as_delayed(received(headers), 1, "r", "d")
    assert sent.headers["tenant"] == "t-1"
    assert not {"CC", "BCC", "x-death", "x-first-death-queue"} & set(sent.headers)


@pytest.mark.parametrize("headers", [{"big": "x" * 5000}, {"odd": object()}])
def test_headers_that_would_not_fit_or_cannot_be_written_are_left_out(headers: dict[str, Any]) -> None:
    assert not set(headers) & set(redelivery.as_delayed(received(headers), 1, "r", "d").headers)


def test_a_detail_is_short_and_can_be_written() -> None:
    sent = redelivery.as_dead_letter(received(), "r", "\ud800" + "x" * 1000)
    detail = cast("str", sent.headers["x-detail"])
    assert len(detail) == 500
    detail.encode()


@pytest.mark.parametrize(
    ("header", "attempts"), [(None, 0), (3, 3), (-1, 0), ("3", 0), (True, 0), (10**12, redelivery.ATTEMPTS_READ_MAX)]
)
def test_attempts_are_read_from_the_header_unless_it_makes_no_sense(header: object, attempts: int) -> None:
    assert redelivery.attempt_of(received({"x-attempt": header}, exchange="")) == attempts


def test_attempts_that_a_partner_tells_of_are_not_ours() -> None:
    """Its event would be set aside the first time that it can't be handled."""
    assert redelivery.attempt_of(received({"x-attempt": 5})) == 0


@pytest.mark.parametrize("exchange", ["", "ordersvc.dead", "paymentsvc.events"])
@pytest.mark.parametrize("name", ["x-first-received", "x-original-exchange", "x-original-routing-key", "x-reason", "k"])
def test_what_is_sent_on_fits_into_a_frame_whatever_came(name: str, exchange: str) -> None:
    headers = {name: "x" * 130_950, "cloudEvents_id": "e" * 20_000}
    for sent in (
        redelivery.as_delayed(received(headers, exchange=exchange), 1, "r", "d" * 1000),
        redelivery.as_dead_letter(received(headers, exchange=exchange), "r", "d" * 1000),
        redelivery.as_first_delivery(received(headers, exchange=exchange)),
    ):
        assert len(pamqp.encode.field_table(sent.headers)) < 30_000
