"""The four ways through the service that docs/architecture.md describes are the ways that it takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.processes import process
from api import composition
from tests.acceptance.started import ROOT
from tests.integration.local_sandbox.process import SandboxProcess
from tests.integration.walking import JWT_KEY, Step, Trace, Whole

ROW = re.compile(r"^\| `(?P<file>[\w/]+\.py)` \| `(?P<name>[\w.]+)` \|", re.MULTILINE)
IDLE_S = 3.0


def described(walk: str) -> list[Step]:
    """Give the functions of a walk, as docs/architecture.md names them, in its order."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.split(f"\n### {walk}. ", 1)[1].split("\n##", 1)[0]
    return [(row["file"], row["name"]) for row in ROW.finditer(section)]


@pytest.fixture
async def whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, amqp_url: str, redis_url: str
) -> AsyncIterator[Whole]:
    monkeypatch.setattr(process, "node_address", lambda: "127.0.0.1")
    for module in (process, composition):
        monkeypatch.setattr(module, "set_up_logs", lambda *_, **__: None)
        monkeypatch.setattr(module, "keep_garbage_collection_rare", lambda: None)
    monkeypatch.setattr(composition, "_when_asked_to_end", lambda _: None)
    sandbox = SandboxProcess(tmp_path)
    sandbox.start()
    partners = {f"{name.upper()}_URL": f"{sandbox.url}/{name}" for name in ("product", "payment", "user")}
    given = {
        "DATABASE_URL": database_url,
        "AMQP_URL": amqp_url,
        "REDIS_URL": redis_url,
        "LINK_SECRET": "l" * 32,
        "JWT_KEY": JWT_KEY,
        "SHARDS": "1",
        "PAYMENT_WINDOW_S": "10",
        "HEARTBEAT_EVERY_S": "30",
        **partners,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ORDERSVC_{name}", value)
    try:
        async with Whole.running(database_url, amqp_url) as whole:
            yield whole
    finally:
        sandbox.stop()


async def test_the_walks_are_what_runs(whole: Whole) -> None:
    """What is looked at is the second order: products and customers are known by then."""
    walks: dict[str, list[Step]] = {}
    trace = Trace()
    await whole.status(await whole.create(), "validated")
    with trace.recording():
        await asyncio.sleep(IDLE_S)  # what runs now belongs to no walk
        idle = {step for step in trace.steps if not step[0].startswith("storage/")}  # the flush is kept warm

    with trace.recording():
        order_id = await whole.create()
        walks["a"] = list(trace.steps)
    await whole.status(order_id, "validated")

    path = f"/api/orders/{order_id}/payments"
    payment = await whole.post(path, {"method": "card", "token": "tok_silence"}, Prefer="wait=1")
    assert payment["status"] == "processing"
    with trace.recording():
        await whole.confirm(order_id, payment)
        await whole.status(order_id, "prepared")
        walks["b"] = list(trace.steps)

    order_id = await whole.create()
    await whole.status(order_id, "validated")
    with trace.recording():
        await whole.status(order_id, "cancelled")
        walks["c"] = list(trace.steps)

    order_id = await whole.create()
    await whole.status(order_id, "validated")
    with trace.recording():
        await whole.post(f"/api/orders/{order_id}/payments", {"method": "card", "token": "tok_visa"})
        await whole.status(order_id, "prepared")
        walks["d"] = list(trace.steps)

    for walk, steps in walks.items():
        start, end = passed(described(walk), steps)
        ran = set(steps[start : end + 1]) - (idle - set(described(walk)))
        print(f"{walk}: {len(ran)} functions in {len({file for file, _ in ran})} files, {len(described(walk))} named")


def passed(named: list[Step], steps: list[Step]) -> tuple[int, int]:
    """Give where the first and the last function of a walk are among those that were called; all of them are, in their order."""
    places: list[int] = []
    for step in named:
        after = places[-1] + 1 if places else 0
        assert step in steps[after:], f"{step} is not called after {steps[places[-1]] if places else 'the start'}"
        places.append(steps.index(step, after))
    assert places, "no function is named"
    return places[0], places[-1]
