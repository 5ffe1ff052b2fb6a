"""An event counts only from its partner's own exchange, whatever its headers say; against a real RabbitMQ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.errors import Unavailable
from messaging import topology
from messaging.consuming.dead_letters import list_dead_letters, resend_dead_letters
from tests.integration.messaging.consuming import ORDER_ID, Orders, Partner, bridging
from tests.integration.messaging.probe_consumer import until

DATA: dict[str, dict[str, Any]] = {
    "PagoConfirmado": {"payment_id": "p-1", "order_id": ORDER_ID, "amount": {"amount": 7125, "currency": "EUR"}},
    "PagoRechazado": {"payment_id": "p-1", "order_id": ORDER_ID, "code": "card_declined"},
    "InventarioActualizado": {"sku": "pen", "available": 1, "version": 1},
    "ClienteActualizado": {"customer_id": "c-1", "version": 1},
}
# A routing key by which each exchange leads to the inbox.
KEYS = {exchange: event_type for event_type, exchange in topology.CONSUMED.items()}
FOREIGN = [
    (event_type, exchange)
    for event_type, own in topology.CONSUMED.items()
    for exchange in sorted(KEYS)
    if exchange != own
]


def event(event_type: str, event_id: str = "e-1") -> bytes:
    attributes = {"specversion": "1.0", "id": event_id, "source": "/tests", "time": "2026-11-24T10:15:30Z"}
    return json.dumps({**attributes, "type": event_type, "data": DATA[event_type]}).encode()


@pytest.mark.parametrize("is_forged", [False, True])
async def test_an_event_from_another_partners_exchange_has_no_effect_though_a_header_names_the_right_one(
    amqp_url: str, partner: Partner, is_forged: bool
) -> None:
    """A message on ``productsvc.events`` whose body said ``PagoConfirmado`` marked an order paid."""
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        for event_type, exchange in FOREIGN:
            headers = {"x-original-exchange": topology.CONSUMED[event_type]} if is_forged else {}
            await partner.publish(
                event(event_type), exchange=exchange, routing_key=KEYS[exchange], headers=headers, message_id=event_type
            )
        letters = await partner.dead_letters(len(FOREIGN))
        assert bridge.retried == 0
    assert orders.heard == []
    assert {letter.headers["x-reason"] for letter in letters} == {"wrong_exchange"}
    told = sorted((str(letter.message_id), str(letter.headers["x-original-exchange"])) for letter in letters)
    assert told == sorted(FOREIGN)
    for letter in letters:
        assert str(letter.headers["x-original-exchange"]) in str(letter.headers["x-detail"])


async def test_each_event_counts_from_its_own_exchange(amqp_url: str, partner: Partner) -> None:
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        for event_type, exchange in topology.CONSUMED.items():
            await partner.publish(event(event_type, event_type), exchange=exchange, routing_key=event_type)
        await until(lambda: bridge.delivered == len(topology.CONSUMED))
    assert set(orders.ids) == set(topology.CONSUMED)


@pytest.mark.parametrize(
    ("headers", "has_effect"),
    [
        ({}, False),
        ({"x-original-exchange": "productsvc.events"}, False),
        ({"x-original-exchange": 7}, False),
        ({"x-original-exchange": "paymentsvc.events"}, True),
    ],
)
async def test_by_the_default_exchange_our_header_tells_where_a_message_first_came_from(
    amqp_url: str, partner: Partner, headers: dict[str, Any], has_effect: bool
) -> None:
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(event("PagoConfirmado"), exchange="", routing_key=topology.INBOX, headers=headers)
        await until(lambda: bridge.delivered + bridge.dead_lettered == 1)
    assert orders.ids == (["e-1"] if has_effect else [])
    if not has_effect:
        (letter,) = await partner.dead_letters(1)
        assert letter.headers["x-reason"] == "wrong_exchange"


async def test_what_our_own_delays_deliver_again_counts_as_from_where_it_first_came(
    amqp_url: str, partner: Partner
) -> None:
    """It comes by the default exchange with the routing key of the inbox, and with our header."""
    orders = Orders(Unavailable("not_now", ""), Unavailable("not_now", ""))
    async with bridging(amqp_url, orders.deliver) as bridge:
        await partner.publish(event("PagoConfirmado"))
        await until(lambda: bridge.delivered == 1)
        assert (bridge.retried, bridge.dead_lettered) == (2, 0)
    assert orders.ids == ["e-1"] * 3


async def test_a_letter_that_came_by_the_wrong_exchange_is_set_aside_again_when_it_is_sent_again(
    amqp_url: str, partner: Partner
) -> None:
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        forged = {"x-original-exchange": "paymentsvc.events", "x-original-routing-key": "PagoConfirmado"}
        await partner.publish(
            event("PagoConfirmado"), exchange="usersvc.events", routing_key="ClienteActualizado", headers=forged
        )
        await until(lambda: bridge.dead_lettered == 1)
        assert await resend_dead_letters(amqp_url) == 1
        await until(lambda: bridge.dead_lettered == 2)
        (letter,) = await list_dead_letters(amqp_url)
    assert (letter.reason, letter.exchange, letter.routing_key) == (
        "wrong_exchange",
        "usersvc.events",
        "ClienteActualizado",
    )
    assert orders.heard == []


async def test_what_the_broker_itself_set_aside_is_from_where_the_broker_says(amqp_url: str, partner: Partner) -> None:
    """RabbitMQ moves a message with the headers that its sender gave it; an operator who sends it again must not make it count."""
    forged = {"x-original-exchange": "paymentsvc.events"}
    await partner.publish(
        event("PagoConfirmado"), exchange="usersvc.events", routing_key="ClienteActualizado", headers=forged
    )
    await partner.reject(topology.INBOX)
    await until_dead(amqp_url)
    orders = Orders()
    async with bridging(amqp_url, orders.deliver) as bridge:
        assert await resend_dead_letters(amqp_url) == 1
        await until(lambda: bridge.dead_lettered == 1)
    (letter,) = await partner.dead_letters(1)
    assert letter.headers["x-reason"] == "wrong_exchange"
    assert letter.headers["x-original-exchange"] == "usersvc.events"
    assert orders.heard == []


async def until_dead(amqp_url: str) -> None:
    """Return when there is a dead letter."""
    while not await list_dead_letters(amqp_url):
        pass
