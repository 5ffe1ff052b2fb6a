"""What can't be understood or never comes to anything is set aside, says why, holds nobody up, and can be sent again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from domain.ids import payment_id
from tests.acceptance.broker import DEAD_LETTERS, RETRIES, Broker
from tests.acceptance.shop import Shop
from tests.acceptance.started import ROOT, until

COMMAND_LIMIT_S = 60
ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
PAYMENT = {"payment_id": "p-1", "order_id": ORDER_ID, "amount": {"amount": 7125, "currency": "EUR"}}
ENVELOPE = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/tests",
    "type": "PagoConfirmado",
    "time": "2026-11-24T10:15:30Z",
    "data": PAYMENT,
}


def with_attributes(**attributes: Any) -> bytes:
    """The envelope with other attributes; None takes one away."""
    changed = {**ENVELOPE, **attributes}
    return json.dumps({name: value for name, value in changed.items() if value is not None}).encode()


def with_data(**fields: Any) -> bytes:
    return with_attributes(data={**PAYMENT, **fields})


def with_amount(amount: Any, currency: Any = "EUR") -> bytes:
    return with_data(amount={"amount": amount, "currency": currency})


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "no_json": ("not_json", b"\xff\xfe not JSON", ""),
    "nothing": ("not_json", b"", ""),
    "cut_off": ("not_json", with_attributes()[:-1], ""),
    "deep": ("not_json", with_attributes(data="DEEP").replace(b'"DEEP"', b"[" * 100_000), ""),
    "no_object": ("invalid_attribute", b"[1, 2, 3]", "object"),
    "no_id": ("invalid_attribute", with_attributes(id=None), "id"),
    "no_source": ("invalid_attribute", with_attributes(source=None), "source"),
    "no_time": ("invalid_attribute", with_attributes(time=None), "time"),
    "no_type": ("invalid_attribute", with_attributes(type=None), "type"),
    "time_without_zone": ("invalid_attribute", with_attributes(time="2026-11-24T10:15:30"), "time"),
    "id_that_is_a_number": ("invalid_attribute", with_attributes(id=7), "id"),
    "other_version": ("unsupported_version", with_attributes(specversion="0.3"), "0.3"),
    "not_in_json": ("invalid_attribute", with_attributes(datacontenttype="application/xml"), "xml"),
    "unknown_type": ("unknown_type", with_attributes(type="PagoOlvidado"), "PagoOlvidado"),
    "no_data": ("invalid_data", with_attributes(data=None), "data"),
    "amount_as_text": ("invalid_data", with_amount("7125"), "amount"),
    "amount_with_cents": ("invalid_data", with_amount(71.25), "amount"),
    "amount_below_nothing": ("invalid_data", with_amount(-1), "amount"),
    "amount_too_large": ("invalid_data", with_amount(2**63), "amount"),
    "amount_as_yes": ("invalid_data", with_amount(amount=True), "amount"),
    "currency_in_words": ("invalid_data", with_amount(1, "euro"), "currency"),
    "order_id_that_is_none": ("invalid_data", with_data(order_id="7"), "order_id"),
    "payment_id_that_is_a_list": ("invalid_data", with_data(payment_id=["p-1"]), "payment_id"),
    "payment_id_with_a_nul": ("invalid_data", with_data(payment_id="p\0"), "payment_id"),
    "five_mebibytes": ("too_large", with_attributes(padding="x" * (5 * 1024 * 1024)), "5"),
}


@pytest.fixture
def poisoned(broker: Broker) -> Iterator[dict[str, str]]:
    """The unreadable messages, all of them published: name -> message id. They are taken away again at the end."""
    published = {}
    for name, (_, body, _) in UNREADABLE.items():
        published[name] = f"{name}-{uuid4()}"
        broker.send("PagoConfirmado", body, message_id=published[name])
    yield published
    for message_id in published.values():
        broker.take_away(DEAD_LETTERS, message_id)


def dead_lettered(shop: Shop) -> float:
    """What the metrics count."""
    answer = urllib3.request(
        "GET", shop.endpoints["api"] + "/metrics", headers={"Authorization": f"Bearer {shop.endpoints['token']}"}
    )
    found = re.search(
        r'^ordersvc_consumed_messages_total\{outcome="dead_lettered",[^}]*\} (\S+)$', answer.data.decode(), re.MULTILINE
    )
    return float(found.group(1)) if found else 0.0


def test_what_cant_be_understood_is_set_aside_at_once_whole_and_with_its_reason(
    shop: Shop, broker: Broker, poisoned: dict[str, str]
) -> None:
    # What is behind all the poison has its effect.
    order = shop.create()
    card = {"method": "card", "token": "tok_silence"}
    _, payment, _ = shop.ask("POST", f"/api/orders/{order['id']}/payments", card, key=str(uuid4()))
    amount = {"amount": order["totals"]["total"], "currency": "EUR"}
    confirmed = {"payment_id": payment["payment_id"], "order_id": order["id"], "amount": amount}
    broker.publish("PagoConfirmado", confirmed)
    shop.reached(order["id"], "prepared")

    def all_there() -> dict[str | None, Any]:
        letters = {message.message_id: message for message in broker.waiting(DEAD_LETTERS)}
        return letters if letters.keys() >= set(poisoned.values()) else {}

    letters = until(all_there, "all are set aside")
    for name, (reason, body, about) in UNREADABLE.items():
        letter = letters[poisoned[name]]
        assert letter.headers["x-reason"] == reason, (name, letter.headers)
        assert about in letter.headers["x-detail"], (name, letter.headers)
        assert letter.headers["x-attempt"] == 0
        assert letter.headers["x-original-exchange"] == "paymentsvc.events"
        assert letter.body == body
        assert letter.delivery_mode == 2
    until(lambda: dead_lettered(shop) >= len(UNREADABLE), "they are counted")


def test_attributes_that_may_be_missing_and_such_that_are_not_known_make_no_difference(
    shop: Shop, broker: Broker
) -> None:
    def blocked(customer: str, **attributes: Any) -> None:
        data = {"customer_id": customer, "version": 1000, "status": "blocked", "invented": {"later": True}}
        broker.publish("ClienteActualizado", data, **attributes)
        until(lambda: shop.create(customer=customer)["status"] == "cancelled", "blocked", 60)

    number = uuid4().int % 1_000_000
    blocked(f"load-customer-{number + 1}")
    blocked(
        f"load-customer-{number + 2}",
        subject="c",
        datacontenttype="application/json; charset=utf-8",
        dataschema="https://example.test/schema",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        sequence="00000000000000000007",
        invented="later",
    )


def test_staff_see_dead_letters_and_send_them_again(shop: Shop, broker: Broker, poisoned: dict[str, str]) -> None:
    wanted = poisoned["unknown_type"]
    broker.arrived(DEAD_LETTERS, wanted)

    def listed() -> Any:
        status, answer, _ = shop.ask("GET", "/api/dead-letters?limit=200")
        assert status == 200
        return next((letter for letter in answer["data"] if letter["message_id"] == wanted), None)

    letter = listed()
    assert (letter["reason"], letter["routing_key"]) == ("unknown_type", "PagoConfirmado")
    assert "PagoOlvidado" in letter["detail"]
    status, shown, _ = shop.ask("GET", f"/api/dead-letters/{letter['id']}")
    assert status == 200
    assert json.loads(shown["body"])["type"] == "PagoOlvidado"

    before = dead_lettered(shop)
    assert shop.ask("POST", f"/api/dead-letters/{letter['id']}/resend", key=str(uuid4()))[0] == 204
    # Nothing has been mended, so it comes back, and is counted once more.
    broker.arrived(DEAD_LETTERS, wanted)
    until(lambda: dead_lettered(shop) > before, "it is counted again")
    assert listed()["id"] == letter["id"]
    status, problem, _ = shop.ask("POST", "/api/dead-letters/nothing/resend", key=str(uuid4()))
    assert (status, problem["code"]) == (404, "dead_letter_not_found")


def test_a_dead_letter_has_its_effect_once_its_cause_is_gone(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    payment = payment_id(order["id"], 1)
    amount = {"amount": order["totals"]["total"], "currency": "EUR"}
    event = broker.publish("PagoConfirmado", {"payment_id": payment, "order_id": order["id"], "amount": amount})

    def is_set_aside() -> bool:
        for queue in RETRIES:
            broker.hasten(queue, event)
        return broker.find(DEAD_LETTERS, event) is not None

    until(is_set_aside, "set aside after all its delays")
    body = {"method": "card", "token": "tok_silence"}
    assert shop.ask("POST", f"/api/orders/{order['id']}/payments", body, key=str(uuid4()))[1]["payment_id"] == payment

    key = next(
        line for line in dead_letters(shop, "list", "--limit", "1000").splitlines() if "payment_not_found" in line
    )
    key = key.split()[0]
    shown = dead_letters(shop, "show", key)
    assert event in shown
    assert order["id"] in shown
    assert dead_letters(shop, "resend", key) == "1 sent to the inbox again\n"
    assert shop.reached(order["id"], "prepared")["payment_status"] == "paid"
    assert broker.find(DEAD_LETTERS, event) is None


def dead_letters(shop: Shop, *arguments: str) -> str:
    """What ``./dev dead-letters`` prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORDERSVC_")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "dev"), "dead-letters", *arguments],
        env={**own, "ORDERSVC_STATE_DIR": str(Path(shop.folder))},
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
