"""What a guard clears away, tried with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.guard import descendants, parents

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 20.0
POLL_EVERY_S = 0.05

# A guarded process which has a child with a child of its own in another session, whose parent then ends.
FAMILY = """
import subprocess, sys, time
from local.guard import guarded

def work():
    subprocess.run(["sh", "-c", "setsid sleep 1000 & setsid sh -c 'sleep 1001 & wait' & exit 0"])
    print("grown", flush=True)
    {ending}

sys.exit(guarded(work))
"""


def start(ending: str) -> tuple[subprocess.Popen[str], set[int]]:
    """The guard and all that is below it, once it is complete."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY.format(ending=ending)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "grown\n"
    return process, descendants(process.pid, parents())


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_gone(pids: set[int]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while left := [pid for pid in pids if lives(pid)]:
        assert time.monotonic() < deadline_s, left
        time.sleep(POLL_EVERY_S)


def test_orphans_go_when_the_work_is_done_and_its_exit_code_is_told() -> None:
    process, _ = start("return 7")
    assert process.wait(timeout=LIMIT_S) == 7
    assert not descendants(process.pid, parents())


@pytest.mark.parametrize("which", ["guard", "work"])
def test_orphans_go_when_either_is_killed(which: str) -> None:
    process, below = start("time.sleep(1000)")
    assert len(below) >= 3
    work = next(pid for pid in below if (Path(f"/proc/{pid}/cmdline").read_bytes()).startswith(sys.executable.encode()))
    os.kill(process.pid if which == "guard" else work, signal.SIGKILL)
    assert_gone(below | {process.pid} if which == "work" else below)
    process.wait(timeout=LIMIT_S)


def test_a_signal_to_the_guard_reaches_the_work() -> None:
    process, below = start("time.sleep(1000)")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT_S) == 128 + signal.SIGTERM
    assert_gone(below)


def test_a_second_signal_ends_what_does_not_want_to() -> None:
    process, below = start(
        "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "deaf\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=LIMIT_S)
    assert_gone(below)
