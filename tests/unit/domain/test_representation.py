"""The document of docs/contract.md, key by key."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from domain.calls import Unknown
from domain.order import Status
from domain.representation import represent, represent_payment_status, represent_payments, time_text
from tests.unit.sagas.builders import CREATE, Story, at, validated

KEYS = {
    "id",
    "number",
    "version",
    "revision",
    "status",
    "payment_status",
    "fulfillment_status",
    "cancel_reason",
    "cancel_note",
    "needs_attention",
    "attention",
    "customer",
    "currency",
    "items",
    "discounts",
    "shipping",
    "totals",
    "shipping_address",
    "payments",
    "shipments",
    "saga",
    "metadata",
    "validation_errors",
    "expires_at",
    "created_at",
    "updated_at",
    "validated_at",
    "paid_at",
    "confirmed_at",
    "prepared_at",
    "shipped_at",
    "delivered_at",
    "cancelled_at",
}


@pytest.mark.parametrize("status", list(Status))
def test_an_order_in_any_status_has_the_same_keys_and_can_be_written_as_json(status: Status) -> None:
    document = represent(at(status).order)
    assert set(document) == KEYS
    assert json.loads(json.dumps(document)) == document
    assert document["status"] == status.value


def test_before_the_first_validation_amounts_are_nothing_and_names_are_null() -> None:
    document = represent(Story().order)
    assert set(document["totals"].values()) == {0}
    assert {item["name"] for item in document["items"]} == {None}
    assert document["customer"] == {"id": "c-1", "name": None, "email": None}
    assert document["shipping_address"] is None


def test_a_validated_order_shows_names_prices_address_and_discounts() -> None:
    document = represent(validated(replace(CREATE, discount_codes=("TEN", "NOSHIP"))).order)
    assert document["customer"] == {"id": "c-1", "name": "Ana", "email": "ana@example.test"}
    assert document["shipping_address"]["city"] == "Lugo"
    assert document["discounts"] == [{"code": "TEN", "amount": 300}, {"code": "NOSHIP", "amount": 490}]
    assert document["shipping"] == {"method": "standard", "amount": 0}
    item = document["items"][0]
    assert item["total"] == item["unit_price"] * item["quantity"] - item["discount"] + item["tax"]
    assert sum(each["total"] for each in document["items"]) == document["totals"]["total"]


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        (Status.CREATED, "validate"),
        (Status.VALIDATED, "pay"),
        (Status.PAID, "confirm"),
        (Status.CONFIRMED, "prepare"),
        (Status.PREPARED, "ship"),
        (Status.SHIPPED, "deliver"),
        (Status.CANCELLING, "compensate"),
    ],
)
def test_the_saga_is_at_the_stage_ahead(status: Status, stage: str) -> None:
    assert represent(at(status).order)["saga"]["stage"] == stage


def test_the_saga_tells_how_its_step_is_doing() -> None:
    story = at(Status.CONFIRMED)
    assert represent(story.order)["saga"]["state"] == "running"
    story.answer(Unknown("timeout"))
    saga = represent(story.order)["saga"]
    assert (saga["state"], saga["attempts"], saga["last_error"]) == ("retrying", 1, "timeout")
    assert saga["next_try_at"] == time_text(story.order.steps[0].next_try_at)
    assert represent(at(Status.PREPARED).order)["saga"]["state"] == "waiting"


def test_a_token_is_never_shown() -> None:
    assert "tok" not in json.dumps(represent(validated().pays().order)).replace("token", "").split('"')


def test_payments_come_with_their_refunds_and_the_ledger() -> None:
    story = validated().pays().confirmed().cancels().refunded()
    shown = represent_payments(story.order)
    (payment,) = shown["payments"]
    assert payment["refunds"] == [
        {"refund_id": entry["refund_id"], "status": "refunded", "amount": entry["amount"], "reason": "order_cancelled"}
        for entry in shown["ledger"]
        if entry["type"] == "refund"
    ]
    assert [(entry["type"], entry["currency"]) for entry in shown["ledger"]] == [("charge", "EUR"), ("refund", "EUR")]


def test_the_payment_status_lists_every_attempt() -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    shown = represent_payment_status(story.order)
    assert (shown["payment_status"], shown["in_doubt"], shown["balance"]) == ("in_doubt", True, shown["total"])
    assert [attempt["status"] for attempt in shown["attempts"]] == ["in_doubt"]


def test_times_are_utc_with_milliseconds() -> None:
    spring = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(spring) == "2026-03-01T10:00:00.123Z"
