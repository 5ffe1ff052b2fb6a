"""What trees of processes spend: CPU seconds in user and system mode, context switches, memory. From /proc alone.

A process's own time and that of its children that have ended count, so a tree's sum loses nothing while it is looked at;
the switches of threads that have ended do.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import PROC, TICKS_PER_S
from local.guard import descendants, parents

SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE)
PROPORTIONAL_KIB = re.compile(r"^Pss:\s*(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of CPU and numbers of context switches."""

    user_s: float = 0.0
    system_s: float = 0.0
    switches: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.user_s + other.user_s, self.system_s + other.system_s, self.switches + other.switches)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.user_s - other.user_s, self.system_s - other.system_s, self.switches - other.switches)

    @property
    def cpu_s(self) -> float:
        """Both modes together."""
        return self.user_s + self.system_s


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and all below it. ``name_of`` tells by a process's command line as which part of the whole it counts."""

    root: int
    name_of: Callable[[str], str]


def spent(trees: Sequence[Tree]) -> dict[str, Spent]:
    """What the parts have spent since their processes began."""
    found: dict[str, Spent] = {}
    for name, folder in _parts(trees):
        with contextlib.suppress(OSError):
            found[name] = found.get(name, Spent()) + _spent(folder)
    return found


def since(now: dict[str, Spent], before: dict[str, Spent]) -> dict[str, Spent]:
    """What the parts have spent between two looks."""
    return {name: one - before.get(name, Spent()) for name, one in now.items()}


def memory_bytes(trees: Sequence[Tree]) -> dict[str, int]:
    """What the parts take of the memory, each page divided by the number of processes that share it (PSS)."""
    found: dict[str, int] = {}
    for name, folder in _parts(trees):
        with contextlib.suppress(OSError):
            match = PROPORTIONAL_KIB.search((folder / "smaps_rollup").read_text())
            found[name] = found.get(name, 0) + (int(match[1]) * 1024 if match else 0)
    return found


def _parts(trees: Sequence[Tree]) -> Iterator[tuple[str, Path]]:
    """Each process that is there, as its part's name and its folder in /proc."""
    known = parents()
    for tree in trees:
        for pid in {tree.root, *descendants(tree.root, known)}:
            folder = PROC / str(pid)
            with contextlib.suppress(OSError):
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                yield tree.name_of(title), folder


def _spent(folder: Path) -> Spent:
    # After the name, which is in brackets and may hold anything. 11 to 14: user and system, own and of ended children.
    numbers = (folder / "stat").read_text().rpartition(")")[2].split()
    user, system, user_of_ended, system_of_ended = (int(ticks) for ticks in numbers[11:15])
    switches = 0
    for thread in (folder / "task").iterdir():
        with contextlib.suppress(OSError):
            switches += sum(map(int, SWITCHES.findall((thread / "status").read_text())))
    return Spent((user + user_of_ended) / TICKS_PER_S, (system + system_of_ended) / TICKS_PER_S, switches)
