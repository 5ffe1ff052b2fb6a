"""A side of a comparison as a program of its own: a question a line on its input, an answer a line on its output, JSON.

So each engine has its own interpreter, libraries and environment, and secrets go through a pipe and not a command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from benchmarks.load import Outcome

START_TIMEOUT_S = 120.0
ROUND_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
LINE_MAX_BYTES = 64 * 1024 * 1024

Run = Callable[[int, int], Awaitable[Outcome]]
"""Runs so many sagas: ``(in_flight, sagas)``."""


@contextlib.asynccontextmanager
async def running(
    *command: str, start: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> AsyncIterator[Run]:
    """Start a program, send it ``start``, and give the function that asks it for sagas; end it afterwards."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, env=environment, limit=LINE_MAX_BYTES
    )
    assert process.stdin is not None
    assert process.stdout is not None
    into, out = process.stdin, process.stdout

    async def ask(question: Mapping[str, object], timeout_s: float) -> dict[str, Any]:
        into.write(json.dumps(question).encode() + b"\n")
        answer = await asyncio.wait_for(out.readline(), timeout_s)
        if not answer:
            raise RuntimeError(f"{command[-1]} ended")
        said: dict[str, Any] = json.loads(answer)
        return said

    async def run(in_flight: int, sagas: int) -> Outcome:
        said = await ask({"in_flight": in_flight, "sagas": sagas}, ROUND_TIMEOUT_S)
        failed = int(said.get("failed", 0))
        return Outcome(latencies_s={"saga": said["latencies_s"]}, failed=failed, seconds=said["seconds"])

    try:
        await ask(start, START_TIMEOUT_S)
        yield run
    finally:
        into.close()
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Give a program whose input has ended the time to go, then ask it to, then make it."""
    for ask_to_end in (process.terminate, process.kill):
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                ask_to_end()
    await process.wait()


async def answer_lines(run: Run) -> None:
    """Be such a program: say that we are ready, then answer each line until the input ends."""
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        outcome = await run(asked["in_flight"], asked["sagas"])
        said = {"seconds": outcome.seconds, "latencies_s": outcome.samples(), "failed": outcome.failed}
        print(json.dumps(said), flush=True)
