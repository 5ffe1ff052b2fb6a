"""Dead letters against a real RabbitMQ, by the functions and by the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.common import FieldValue

from local.state import write_private
from messaging import topology
from messaging.consuming.consumer import Consumer
from messaging.consuming.dead_letters import (
    LISTED_BODY_MAX_BYTES,
    READ_AHEAD_MAX_LETTERS,
    count_dead_letters,
    find_dead_letter,
    list_dead_letters,
    resend_dead_letters,
)
from messaging.envelope import InboundEvent
from tests.integration.messaging.probe_consumer import until

POISON = [b"poison 0", b"poison 1", b"poison 2"]


async def deliver_nothing(_: InboundEvent) -> None:
    """Whatever can be read had its effect."""


@pytest.fixture
async def dead(amqp_url: str) -> str:
    """The URL of a broker with three dead letters, which a bridge set aside."""
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        exchange = await channel.get_exchange("paymentsvc.events", ensure=False)
        for body in POISON:
            await exchange.publish(aio_pika.Message(body, message_id=body.decode()), "PagoConfirmado")
    bridge = Consumer(amqp_url, deliver=deliver_nothing)
    await bridge.start()
    await until(lambda: bridge.dead_lettered == len(POISON))
    await bridge.stop()
    return amqp_url


async def inbox(url: str) -> list[AbstractIncomingMessage]:
    """Take everything out of the inbox."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.INBOX, ensure=False)
        found = []
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            found.append(message)
        return found


async def test_they_are_listed_with_their_reasons_and_stay(dead: str) -> None:
    for _ in range(2):
        letters = await list_dead_letters(dead)
        assert sorted(letter.body for letter in letters) == POISON
    assert await count_dead_letters(dead) == 3
    letter = next(letter for letter in letters if letter.body == POISON[0])
    assert (letter.reason, letter.exchange, letter.routing_key) == ("not_json", "paymentsvc.events", "PagoConfirmado")
    assert letter.message_id == "poison 0"
    assert letter.detail
    assert letter.first_received


async def test_a_list_is_no_longer_than_asked_for(dead: str) -> None:
    assert len(await list_dead_letters(dead, limit=2)) == 2
    assert await count_dead_letters(dead) == 3


async def test_a_list_has_the_beginnings_of_large_ones_and_one_that_is_found_is_whole(amqp_url: str) -> None:
    """Two hundred of the broker's largest size, listed, would have filled the memory of the API."""
    body = b"x" * (LISTED_BODY_MAX_BYTES + 1)
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        await (await channel.get_exchange(topology.DEAD, ensure=False)).publish(
            aio_pika.Message(body), "PagoConfirmado"
        )
    (listed,) = await list_dead_letters(amqp_url)
    assert (listed.size_bytes, listed.body) == (len(body), body[:LISTED_BODY_MAX_BYTES])
    found = await find_dead_letter(amqp_url, listed.key)
    assert found is not None
    assert (found.size_bytes, found.body) == (len(body), body)


async def test_one_is_found_by_its_key(dead: str) -> None:
    for listed in await list_dead_letters(dead):
        found = await find_dead_letter(dead, listed.key)
        assert found is not None
        assert found.body == listed.body
    assert await find_dead_letter(dead, "0" * 12) is None
    assert await count_dead_letters(dead) == 3


@pytest.mark.parametrize("key", ["", "nothing", "%09", "a\0b", "0" * 11, "0" * 13, "A" * 12, "0" * 11 + "\n"])
async def test_what_can_be_no_key_is_not_searched_for(key: str) -> None:
    """A search holds all that it meets: lists of staff waited for it for seconds. This broker would not answer."""
    nowhere = "amqp://nobody:none@127.0.0.1:9/"
    assert await find_dead_letter(nowhere, key) is None
    assert await resend_dead_letters(nowhere, [key]) == 0


async def test_those_that_are_named_go_to_the_inbox_again_with_all_their_attempts(dead: str) -> None:
    letters = await list_dead_letters(dead)
    wanted = next(letter for letter in letters if letter.body == POISON[1])
    assert await resend_dead_letters(dead, [wanted.key]) == 1
    assert await count_dead_letters(dead) == 2
    (message,) = await inbox(dead)
    assert (message.body, message.message_id) == (POISON[1], "poison 1")
    assert not {"x-attempt", "x-reason", "x-detail"} & set(message.headers)
    assert message.headers["x-original-exchange"] == "paymentsvc.events"


async def test_all_go_again_but_no_more_than_allowed(dead: str) -> None:
    assert await resend_dead_letters(dead, None, limit=2) == 2
    assert await count_dead_letters(dead) == 1
    assert len(await inbox(dead)) == 2
    assert await resend_dead_letters(dead, ["nothing"]) == 0
    assert await count_dead_letters(dead) == 1


async def test_what_fails_again_comes_back(dead: str) -> None:
    bridge = Consumer(dead, deliver=deliver_nothing)
    await bridge.start()
    assert await resend_dead_letters(dead) == 3
    await until(lambda: bridge.dead_lettered == 3)
    await bridge.stop()
    letters = await list_dead_letters(dead)
    assert sorted(letter.body for letter in letters) == POISON
    assert {letter.exchange for letter in letters} == {"paymentsvc.events"}


async def test_more_of_them_than_are_read_ahead_are_all_met_once(amqp_url: str) -> None:
    count = 2 * READ_AHEAD_MAX_LETTERS + 50
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.DEAD, ensure=False)
        for number in range(count):
            await exchange.publish(aio_pika.Message(f"letter {number}".encode()), "PagoConfirmado")
    bodies = {f"letter {number}".encode() for number in range(count)}
    listed = await list_dead_letters(amqp_url, limit=1000)
    assert (len(listed), {letter.body for letter in listed}) == (count, bodies)
    found = await find_dead_letter(amqp_url, listed[-1].key)
    assert found is not None
    assert found.body == listed[-1].body
    assert await resend_dead_letters(amqp_url, None, limit=READ_AHEAD_MAX_LETTERS + 50) == READ_AHEAD_MAX_LETTERS + 50
    assert await count_dead_letters(amqp_url) == READ_AHEAD_MAX_LETTERS


async def test_two_events_in_binary_mode_with_one_body_are_two(amqp_url: str) -> None:
    """Resending the one would have sent the other as well."""
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.DEAD, ensure=False)
        for event_id in ("e-1", "e-2"):
            headers: dict[str, FieldValue] = {"cloudEvents_id": event_id, "cloudEvents_type": "PagoConfirmado"}
            await exchange.publish(aio_pika.Message(b"{}", headers=headers), "PagoConfirmado")
    first, second = await list_dead_letters(amqp_url)
    assert first.key != second.key
    assert await resend_dead_letters(amqp_url, [second.key]) == 1
    (left,) = await list_dead_letters(amqp_url)
    assert left.key == first.key


async def test_those_that_somebody_else_looks_at_are_not_waited_for(dead: str) -> None:
    async with await aio_pika.connect(dead) as connection:
        channel = await connection.channel()
        held = await (await channel.get_queue(topology.DEAD_LETTERS, ensure=False)).get()
        assert len(await list_dead_letters(dead)) == 2
        await held.reject(requeue=True)


async def command_line(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run ``./dev dead-letters``' module; gives the exit code and what it printed and complained about."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERSVC_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "local.dead_letters", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**environment, "ORDERSVC_STATE_DIR": str(folder)},
    )  # fmt: skip
    printed, complained = await process.communicate()
    return process.returncode or 0, printed.decode(), complained.decode()


async def test_an_operator_lists_shows_and_resends_them_from_the_command_line(dead: str, tmp_path: Path) -> None:
    write_private(tmp_path / "endpoints.json", json.dumps({"amqp": dead}))
    code, printed, _ = await command_line(tmp_path, "list")
    assert code == 0
    assert "3 of 3 dead letters" in printed
    key = next(line for line in printed.splitlines() if "not_json" in line).split()[0]

    code, printed, _ = await command_line(tmp_path, "show", key)
    assert code == 0
    assert "poison" in printed

    code, printed, _ = await command_line(tmp_path, "resend", key)
    assert (code, printed) == (0, "1 sent to the inbox again\n")
    assert await count_dead_letters(dead) == 2

    code, printed, _ = await command_line(tmp_path, "resend", "--all")
    assert (code, printed) == (0, "2 sent to the inbox again\n")
    assert len(await inbox(dead)) == 3


async def test_the_command_line_says_what_is_wrong(dead: str, tmp_path: Path) -> None:
    code, _, complained = await command_line(tmp_path, "list")
    assert code == 2
    assert "is the service running" in complained
    write_private(tmp_path / "endpoints.json", json.dumps({"amqp": dead}))
    assert await command_line(tmp_path, "show", "nothing") == (1, "", "there is no dead letter nothing\n")
    assert (await command_line(tmp_path, "resend"))[0] == 2
