"""One run: a service of its own whose partners are behind the proxy, bad input of every kind, good lives beside it; then rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import msgspec

from benchmarks.client import Client, request_bytes
from benchmarks.load import open_loop
from messaging import topology
from tests.acceptance.started import ROOT, Started, free_port
from tests.fuzz.answers import Answers
from tests.fuzz.events import Events
from tests.fuzz.findings import Findings
from tests.fuzz.lives import Lives, Watched
from tests.fuzz.rest_api import RestApi
from tests.fuzz.tokens import Tokens
from tests.fuzz.world import World

SETTINGS = {
    "RATE_LIMIT_PER_MIN": "0",
    "LOG_LEVEL": "WARNING",
    "PAYMENT_WINDOW_S": "120",
    "PAYMENT_SETTLE_S": "10",
    "PAYMENT_WATCH_S": "10",
}
CONNECTIONS_MAX = 256
WORLD_FIRST_ORDERS = 6
WORLD_EVERY_S = 1.0
SHARES = {"rest": 0.7, "events": 0.3}
INBOX_LIMIT_S = 60.0
RETRIES_LIMIT_S = 460.0  # the delays of a message that is tried again add up to six and a half minutes
POLL_EVERY_S = 0.5
GAUGES = ("ordersvc_at_work_messages",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long, how many bad requests and events, and how many good lives a second. ``wait_for_retries``: to their end."""

    seconds: float
    rate_per_s: float = 25.0
    lives_per_s: float = 2.0
    wait_for_retries: bool = False


async def fuzz(seed: int, size: Size) -> Findings:
    """Do all of it; what was found is the answer. Raises ``AssertionError`` where the service does not start."""
    findings = Findings()
    rng = random.Random(seed)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = SETTINGS | {f"{partner}_URL": f"{url}/{partner.lower()}" for partner in ("PRODUCT", "PAYMENT", "USER")}
    with tempfile.TemporaryDirectory(prefix="ordersvc-fuzz-") as folder:
        world = World(random.Random(rng.random()))
        answers = Answers(random.Random(rng.random()), world, findings)
        await answers.start(port)
        started = await asyncio.to_thread(Started, Path(folder) / "state", settings)
        try:
            endpoints = await asyncio.to_thread(started.endpoints)
            sandbox_port = free_port()
            sandbox = _sandbox(sandbox_port, endpoints["amqp"])
            try:
                answers.upstream = f"http://127.0.0.1:{sandbox_port}"
                await _until_open(sandbox_port)
                await _run(rng, size, endpoints, started.folder, world, answers, findings)
            finally:
                sandbox.send_signal(signal.SIGTERM)
                await asyncio.to_thread(sandbox.wait, 20)
        finally:
            await asyncio.to_thread(started.end)
            await answers.stop()
    return findings


async def _run(
    rng: random.Random,
    size: Size,
    endpoints: dict[str, str],
    state: Path,
    world: World,
    answers: Answers,
    findings: Findings,
) -> None:
    token = endpoints["token"]
    connection = await aio_pika.connect(endpoints["amqp"])
    async with (
        Client(endpoints["api"], CONNECTIONS_MAX) as bad,
        Watched(endpoints["api"], CONNECTIONS_MAX, findings) as good,
        connection,
    ):
        world.use(bad, token)
        for _ in range(WORLD_FIRST_ORDERS):
            await world.renew()
        assert world.orders, "no order could be made"
        documents = [await _document(good, path) for path in ("/openapi.json", "/asyncapi.json")]
        tokens = Tokens(random.Random(rng.random()), (state / "jwt-key.secret").read_text())
        rest_api = RestApi(random.Random(rng.random()), documents[0], world, tokens, token, bad, findings)
        events = Events(random.Random(rng.random()), documents[1], world, await connection.channel(), findings)
        lives = Lives(random.Random(rng.random()), good, token, findings)

        async def renew(_index: int) -> str:
            await world.renew()
            return "world"

        await asyncio.gather(
            open_loop(_job(rest_api.once, findings), rate_per_s=size.rate_per_s * SHARES["rest"], seconds=size.seconds),
            open_loop(_job(events.once, findings), rate_per_s=size.rate_per_s * SHARES["events"], seconds=size.seconds),
            open_loop(lives.live, rate_per_s=size.lives_per_s, seconds=size.seconds),
            open_loop(lives.look, rate_per_s=1.0, seconds=size.seconds),
            open_loop(renew, rate_per_s=1 / WORLD_EVERY_S, seconds=size.seconds),
        )
        answers.is_honest = True
        await _until_quiet(connection, endpoints, findings, size)
        for _ in range(len(SETTINGS)):
            await lives.look(0)
        answer = await good.send(request_bytes("GET", "/health/ready"))
        if msgspec.json.decode(answer.body)["status"] != "ok":
            findings.add("health at the end", repr(answer.body))
        findings.answers["slowest good answer, ms"] = round(good.slowest_s * 1000)
        findings.answers["dead letters"] = await _waiting(connection, topology.DEAD_LETTERS)
        answer = await good.send(request_bytes("GET", "/api/dead-letters?limit=200", token=token))
        for letter in msgspec.json.decode(answer.body)["data"]:
            findings.answers[f"the first of them: {letter['reason']}"] += 1


def _job(once: Callable[[], Awaitable[None]], findings: Findings) -> Callable[[int], Awaitable[str]]:
    """A piece of bad input; where it can't be made or sent, nothing was tried, and that is told as well."""

    async def job(_index: int) -> str:
        try:
            await once()
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest of the run goes on
            findings.add(
                f"the fuzzer failed: {type(error).__name__}", "".join(traceback.format_exception(error))[-500:]
            )
        return "done"

    return job


async def _until_quiet(
    connection: aio_pika.abc.AbstractConnection, endpoints: dict[str, str], findings: Findings, size: Size
) -> None:
    """Wait until no message is in the inbox or at work; and, if wanted, until none waits to be tried again."""
    queues = [topology.INBOX]
    limit_s = INBOX_LIMIT_S
    if size.wait_for_retries:
        queues += [delay.queue for delay in topology.DELAYS]
        limit_s = RETRIES_LIMIT_S
    deadline_s = time.monotonic() + limit_s
    async with Client(endpoints["api"], 1) as client:
        while True:
            left = {queue: await _waiting(connection, queue) for queue in queues}
            left |= await _gauges(client, endpoints["token"])
            if not any(left.values()):
                return
            if time.monotonic() > deadline_s:
                findings.add("messages without an answer at the end", repr(left))
                return
            await asyncio.sleep(POLL_EVERY_S)


async def _waiting(connection: aio_pika.abc.AbstractConnection, queue: str) -> int:
    async with connection.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


async def _gauges(client: Client, token: str) -> dict[str, int]:
    answer = await client.send(request_bytes("GET", "/metrics", token=token))
    lines = answer.body.decode().splitlines()
    return {
        name: round(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " "))))
        for name in GAUGES
    }


async def _document(client: Client, path: str) -> Any:
    return msgspec.json.decode((await client.send(request_bytes("GET", path))).body)


def _sandbox(port: int, amqp_url: str) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERSVC_")}
    return subprocess.Popen(
        [sys.executable, "-m", "local.sandbox", "--port", str(port)],
        cwd=ROOT,
        env=environment | {"ORDERSVC_AMQP_URL": amqp_url, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _until_open(port: int) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline_s, "the sandbox did not start"
            await asyncio.sleep(POLL_EVERY_S / 10)
        else:
            writer.close()
            return
