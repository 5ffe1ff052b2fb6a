"""What each part of the service costs: CPU seconds and memory by process group, from /proc alone.

A process belongs to the service whose state folder is in its environment or command line, or when its parent belongs.
Its group follows from its title; what matches nothing is ``other``, so that no CPU goes missing unseen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


class Group(StrEnum):
    """A part of the service."""

    API = "api"
    SHARDS = "shards"
    BULKHEADS = "bulkheads"
    BRIDGE = "bridge"
    SUPERVISOR = "supervisor"
    POSTGRES = "postgres"
    RABBITMQ = "rabbitmq"
    REDIS = "redis"
    SANDBOX = "sandbox"
    RAY = "ray"
    OTHER = "other"


OURS = (Group.API, Group.SHARDS, Group.BULKHEADS, Group.BRIDGE, Group.SUPERVISOR)

# The first that matches decides: actors are ray workers too, and their title says which.
MARKS: tuple[tuple[str, Group], ...] = (
    ("ray::OrderShard", Group.SHARDS),
    ("ray::Bulkhead", Group.BULKHEADS),
    ("ray::EventBridge", Group.BRIDGE),
    ("ray::Supervisor", Group.SUPERVISOR),
    ("ray::", Group.RAY),
    ("raylet", Group.RAY),
    ("gcs_server", Group.RAY),
    ("site-packages/ray/", Group.RAY),
    ("beam.smp", Group.RABBITMQ),
    ("erl_child_setup", Group.RABBITMQ),
    ("epmd", Group.RABBITMQ),
    ("postgres", Group.POSTGRES),
    ("valkey-server", Group.REDIS),
    ("redis-server", Group.REDIS),
    ("sandbox", Group.SANDBOX),
    ("uvicorn", Group.API),
    ("api.", Group.API),
)


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when looked at."""

    pid: int
    parent: int
    title: str
    environment: str
    cpu_s: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident bytes by group at one moment."""

    cpu_s: Mapping[Group, float]
    resident_bytes: Mapping[Group, int]

    def cpu_since(self, before: Usage) -> dict[Group, float]:
        """Give the CPU seconds spent since ``before``; a process that ended meanwhile takes its share with it."""
        return {group: max(0.0, spent - before.cpu_s.get(group, 0.0)) for group, spent in self.cpu_s.items()}


def group_of(title: str) -> Group:
    """Tell which part of the service a process with this title is."""
    return next((group for mark, group in MARKS if mark in title), Group.OTHER)


def members(processes: Iterable[Process], state: str) -> list[Process]:
    """Choose the processes of the service whose state folder is ``state``; never the one that measures."""
    everyone = {process.pid: process for process in processes}
    known: dict[int, bool] = {os.getpid(): False}

    def belongs(pid: int) -> bool:
        if pid not in known:
            process = everyone.get(pid)
            known[pid] = False
            if process is not None:
                # A data folder in a command line belongs to a server; the bare state folder may be a client's argument.
                named = f"{state}/" in process.title or f"ORDERSVC_STATE_DIR={state}\n" in process.environment
                known[pid] = named or belongs(process.parent)
        return known[pid]

    return [process for pid, process in everyone.items() if belongs(pid)]


def look(state: Path) -> list[Process]:
    """All processes of the service whose state folder this is, as they are now."""
    return members(_processes(), str(state.resolve()))


def usage(state: Path) -> Usage:
    """Look at the service whose state folder this is, now."""
    cpu_s: dict[Group, float] = {}
    resident: dict[Group, int] = {}
    for process in look(state):
        group = group_of(process.title)
        cpu_s[group] = cpu_s.get(group, 0.0) + process.cpu_s
        resident[group] = resident.get(group, 0) + process.resident_bytes
    return Usage(cpu_s, resident)


def pids(state: Path, group: Group) -> list[int]:
    """Give the process ids of one group."""
    return [one.pid for one in look(state) if group_of(one.title) is group]


def _processes() -> list[Process]:
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            process = _read(folder)
            if process is not None:
                found.append(process)
    return found


def _read(folder: Path) -> Process | None:
    """Read one process; None when it ended meanwhile or is a kernel thread."""
    try:
        title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        # The name in parentheses may contain spaces: the numbers begin after the last one.
        numbers = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    try:
        environment = (folder / "environ").read_bytes().replace(b"\0", b"\n").decode(errors="replace") + "\n"
    except OSError:
        environment = ""
    if not title:
        return None
    cpu_s = (int(numbers[11]) + int(numbers[12])) / TICKS_PER_S
    return Process(int(folder.name), int(numbers[1]), title, environment, cpu_s, int(numbers[21]) * PAGE_BYTES)
