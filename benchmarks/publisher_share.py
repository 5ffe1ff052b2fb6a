"""Which share of a shard's CPU its publisher takes: it has no process of its own, so the shard is sampled by py-spy."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

SAMPLES_PER_S = 100
TIMEOUT_EXTRA_S = 20.0
MARKS = ("messaging/", "aio_pika/", "aiormq/", "pamqp/")


def share_of(lines: Iterable[str]) -> float:
    """Give the share of samples with a frame of the publisher, from py-spy's raw lines (``frame;frame;… count``)."""
    everything = publishing = 0
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if not count.isdigit():
            continue
        everything += int(count)
        if any(mark in stack for mark in MARKS):
            publishing += int(count)
    return publishing / everything if everything else 0.0


async def publisher_share(pid: int, seconds: int) -> float | None:
    """Sample a shard for some seconds; None where py-spy is missing or may not look."""
    tool = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if tool is None:
        return None
    with tempfile.NamedTemporaryFile(suffix=".raw") as file:
        command = [tool, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES_PER_S)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *command, "--gil", "--format", "raw", "--output", file.name, stdout=quiet, stderr=quiet
        )
        try:
            code = await asyncio.wait_for(process.wait(), seconds + TIMEOUT_EXTRA_S)
        except TimeoutError:
            process.kill()
            return None
        return share_of(file.read().decode(errors="replace").splitlines()) if code == 0 else None
