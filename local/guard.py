"""Nothing outlives us: whoever is guarded has a parent that stays behind only to clear away what it leaves.

Killing a process does not kill its descendants, and a process whose parent is gone goes to the nearest ancestor that asked
for such orphans. Guards ask. They may be nested (`./dev` guards `local.run`, which guards itself): when one is killed, the
one above clears away everything below it, and the one below gets a signal and does the same. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

SET_PARENT_DEATH_SIGNAL = 1
SET_CHILD_SUBREAPER = 36
GUARD_LOST = signal.SIGUSR1
CLEAR_LIMIT_S = 10.0
CLEAR_EVERY_S = 0.02


def descendants(of: int, parents: dict[int, int]) -> set[int]:
    """All processes below one, given each process's parent."""
    found: set[int] = set()
    generation = {of}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation} - found
        found |= generation
    return found


def parents() -> dict[int, int]:
    """The parent of each process on this machine."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # After the name, which is in brackets and may hold anything: the state, then the parent.
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def clear() -> None:
    """Kill every descendant of this process, and whatever they leave behind, until there is none."""
    deadline_s = time.monotonic() + CLEAR_LIMIT_S
    while time.monotonic() < deadline_s:
        left = descendants(os.getpid(), parents())
        _kill(left)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return
        time.sleep(CLEAR_EVERY_S)


def guarded(work: Callable[[], int]) -> int:
    """Run ``work`` in a child process of a session of its own and give its exit code; then clear away what is left of it.

    SIGINT, SIGTERM and SIGHUP are passed on as SIGTERM; the second of them ends everything at once. To be called from
    the main thread of a process that has no other children.
    """
    adopt_orphans()
    child = os.fork()
    if child == 0:
        os._exit(_work_below(os.getppid(), work))
    asked = 0

    def pass_on(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            clear()
        else:
            _kill([child], signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    signal.signal(GUARD_LOST, _clear_and_end)
    code = _wait_for(child)
    clear()
    return code


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, and clear them away when our guard is lost."""
    ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(GUARD_LOST, _clear_and_end)


def _work_below(guard: int, work: Callable[[], int]) -> int:
    try:
        os.setsid()
        ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, int(GUARD_LOST), 0, 0, 0)
        adopt_orphans()
        if os.getppid() != guard:
            return 1
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a copy of its parent
        sys.excepthook(*sys.exc_info())
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _clear_and_end(_signal: int, _frame: FrameType | None) -> None:
    clear()
    os._exit(1)


def _wait_for(child: int) -> int:
    while True:
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(-1, 0)
            if ended != child:
                continue
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        return 1


def _kill(pids: Iterable[int], how: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, how)
