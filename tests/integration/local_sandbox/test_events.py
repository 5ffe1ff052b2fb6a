"""The sandbox's events on a real RabbitMQ."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pytest
from aio_pika.abc import AbstractQueue

from tests.integration.local_sandbox.conftest import Caller
from tests.integration.local_sandbox.process import SandboxProcess

LIMIT_S = 20.0
QUIET_S = 0.5


class Listener:
    """A queue that hears everything the partners say."""

    def __init__(self, queue: AbstractQueue) -> None:
        self._queue = queue

    async def next(self, timeout_s: float = LIMIT_S) -> dict[str, Any]:
        """The next event; TimeoutError when none comes."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            message = await self._queue.get(no_ack=True, fail=False)
            if message is not None:
                event: dict[str, Any] = json.loads(message.body)
                assert message.content_type == "application/cloudevents+json"
                assert (message.message_id, message.routing_key) == (event["id"], event["type"])
                assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
                return event
            await asyncio.sleep(0.02)
        raise TimeoutError


@pytest.fixture
def sandbox(tmp_path: Path, amqp_url: str) -> Any:
    """A sandbox that publishes."""
    process = SandboxProcess(tmp_path, amqp_url)
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def listener(amqp_url: str) -> AsyncIterator[Listener]:
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    for service in ("paymentsvc", "productsvc", "usersvc"):
        await channel.declare_exchange(f"{service}.events", "topic", durable=True)
        await queue.bind(f"{service}.events", "#")
    yield Listener(queue)
    await connection.close()


@pytest.fixture
async def caller(sandbox: SandboxProcess, listener: Listener) -> AsyncIterator[Caller]:
    assert listener
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
        yield Caller(session, sandbox)


async def test_a_settled_charge_is_announced(caller: Any, listener: Listener) -> None:
    await caller.charge("p1")
    confirmed = await listener.next()
    assert confirmed["type"] == "PagoConfirmado"
    assert confirmed["specversion"] == "1.0"
    assert confirmed["time"].endswith("Z")
    assert confirmed["data"] == {
        "payment_id": "p1",
        "order_id": "o",
        "amount": {"amount": 100, "currency": "EUR"},
        "gateway_ref": "gw-p1",
    }
    await caller.charge("p2", token="tok_declined")
    rejected = await listener.next()
    assert rejected["type"] == "PagoRechazado"
    assert rejected["data"] == {"payment_id": "p2", "order_id": "o", "code": "card_declined"}


async def test_a_repeated_charge_is_not_announced_again(caller: Any, listener: Listener) -> None:
    await caller.charge("p1")
    await caller.charge("p1")
    await listener.next()
    with pytest.raises(TimeoutError):
        await listener.next(QUIET_S)


async def test_the_event_is_there_before_the_answer(caller: Any, listener: Listener) -> None:
    await caller.charge("p0")
    await listener.next()  # the sandbox is connected now
    await caller.put_knobs({"effect": "event_first"}, {"effect": "do_and_hang", "operation": "charge"})
    pending = asyncio.create_task(caller.charge("p1"))
    assert (await listener.next())["data"]["payment_id"] == "p1"
    assert not pending.done()
    pending.cancel()


async def test_an_event_may_come_later_twice_or_not_at_all(caller: Any, listener: Listener) -> None:
    assert (await caller.charge("p1", token="tok_processing"))[0] == 202
    assert (await listener.next())["data"]["payment_id"] == "p1"
    await caller.charge("p2", token="tok_event_twice")
    first, second = await listener.next(), await listener.next()
    assert first == second
    await caller.charge("p3", token="tok_no_event")
    await caller.charge("p4")
    assert (await listener.next())["data"]["payment_id"] == "p4"


async def test_a_silent_charge_is_settled_by_hand_and_announced_once_more(caller: Any, listener: Listener) -> None:
    await caller.charge("p1", token="tok_silence")
    assert (await caller.ask("POST", "/sandbox/payments/p1/announce"))[0] == 409
    settled = await caller.ask("POST", "/sandbox/payments/p1/settle", {"status": "rejected", "code": "fraud_suspected"})
    assert settled[1]["status"] == "rejected"
    assert (await listener.next())["data"]["code"] == "fraud_suspected"
    await caller.ask("POST", "/sandbox/payments/p1/announce")
    assert (await listener.next())["data"]["payment_id"] == "p1"


async def test_a_changed_product_is_announced_with_a_higher_version(caller: Any, listener: Listener) -> None:
    known = (await caller.ask("GET", "/product/products?sku=sku-tea&currency=EUR"))[1]["products"][0]
    await caller.ask("PUT", "/sandbox/products/sku-tea", {"prices": {"USD": 5}, "stock": 7, "sellable": False})
    event = await listener.next()
    assert event["type"] == "InventarioActualizado"
    assert event["data"]["version"] > known["version"]
    assert event["data"]["unit_price"] == {"amount": 5, "currency": "USD"}


async def test_a_lost_hold_is_announced_with_its_order(caller: Any, listener: Listener) -> None:
    await caller.hold("o-lost", "sku-last-unit")
    await caller.ask("POST", "/sandbox/holds/o-lost/lose")
    event = await listener.next()
    assert (event["type"], event["data"]["sku"]) == ("InventarioActualizado", "sku-last-unit")
    assert event["data"]["lost_holds"] == ["o-lost"]
    assert event["data"]["available"] == 1


async def test_a_changed_customer_is_announced(caller: Any, listener: Listener) -> None:
    await caller.ask("PUT", "/sandbox/customers/c-1001", {"status": "blocked"})
    event = await listener.next()
    assert event["type"] == "ClienteActualizado"
    assert (event["data"]["customer_id"], event["data"]["status"], event["data"]["version"]) == ("c-1001", "blocked", 2)


async def test_events_wait_for_a_broker_that_is_away(tmp_path: Path, amqp_url: str) -> None:
    """The broker is behind a port that nobody listens on until the events are waiting."""
    host, _, port = amqp_url.partition("@")[2].partition("/")[0].partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer), return_exceptions=True)

    door = await asyncio.start_server(relay, "127.0.0.1", 0)
    door_port = door.sockets[0].getsockname()[1]
    door.close()
    process = SandboxProcess(tmp_path, amqp_url.replace(f"{host}:{port}", f"127.0.0.1:{door_port}"))
    process.start()
    try:
        async with aiohttp.ClientSession() as session:
            caller = Caller(session, process)
            for number in range(3):
                await caller.charge(f"p{number}")
            events = (await caller.ask("GET", "/sandbox/ledger?totals=1"))[1]["events"]
            assert events == {"published": 0, "waiting": 3, "dropped": 0}
            door = await asyncio.start_server(relay, "127.0.0.1", door_port)
            deadline = asyncio.get_running_loop().time() + LIMIT_S
            while events["published"] < 3:
                assert asyncio.get_running_loop().time() < deadline, events
                await asyncio.sleep(0.05)
                events = (await caller.ask("GET", "/sandbox/ledger?totals=1"))[1]["events"]
            assert events == {"published": 3, "waiting": 0, "dropped": 0}
    finally:
        process.stop()
        door.close()
