"""How much memory our own processes take while something goes on: sampled from /proc, a line of samples a process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import processes
from benchmarks.processes import OURS, Group, Process

EVERY_S = 1.0
SAMPLES_MAX = 3600
# What is compared: the second fifth of the time, when queues have filled, and the last.
FIFTHS = 5


@dataclass(slots=True)
class Memory:
    """Resident bytes over time, by process; one that was replaced meanwhile has a line of its own."""

    lines: dict[tuple[Group, int], list[int]] = field(default_factory=dict)

    def note(self, found: Iterable[Process]) -> None:
        """Add a sample of each of our own processes."""
        for process in found:
            group = processes.group_of(process.title)
            if group not in OURS:
                continue
            line = self.lines.setdefault((group, process.pid), [])
            if len(line) < SAMPLES_MAX:
                line.append(process.resident_bytes)

    def peaks(self) -> dict[Group, int]:
        """The most that one process of each group had."""
        peaks: dict[Group, int] = {}
        for (group, _), line in self.lines.items():
            peaks[group] = max([peaks.get(group, 0), *line])
        return peaks

    def growths(self) -> dict[Group, float]:
        """How much more a process had at the end than when queues had filled; of each group the one that grew most."""
        grown: dict[Group, float] = {}
        for (group, _), line in self.lines.items():
            fifth = len(line) // FIFTHS
            if fifth:
                ratio = median(line[-fifth:]) / median(line[fifth : 2 * fifth])
                grown[group] = max(grown.get(group, 0.0), ratio)
        return grown


@contextlib.asynccontextmanager
async def watching(state: Path) -> AsyncIterator[Memory]:
    """Sample the service whose state folder this is, meanwhile."""
    memory = Memory()
    watcher = asyncio.create_task(_watch(state, memory))
    try:
        yield memory
    finally:
        watcher.cancel()


async def _watch(state: Path, memory: Memory) -> None:
    while True:
        memory.note(await asyncio.to_thread(processes.look, state))
        await asyncio.sleep(EVERY_S)
