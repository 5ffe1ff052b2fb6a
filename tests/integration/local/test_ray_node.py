"""The private Ray: it lets in nobody without the token, stays on loopback, and survives the loss of its GCS."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.guard import descendants, parents
from local.ray_node import RayNode
from local.state import State

DRIVER_LIMIT_S = 120
POLL_EVERY_S = 0.05

DRIVER = """
import ray
ray.init(log_to_driver=False, configure_logging=False)

@ray.remote(num_cpus=0)
class Echo:
    def say(self, text):
        return text

print(ray.get(Echo.remote().say.remote("hello"), timeout=60))
"""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[RayNode]:
    started = RayNode(State(tmp_path))
    try:
        await started.start()
        yield started
    finally:
        await started.stop()


def drive(node: RayNode, **changes: str) -> subprocess.CompletedProcess[str]:
    """Attach, make an actor and ask it something."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = own | node.environment() | changes
    command = [sys.executable, "-c", DRIVER]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DRIVER_LIMIT_S, check=False)


def processes(node: RayNode) -> set[int]:
    assert node.child is not None
    return descendants(node.child.pid, parents())


def find(node: RayNode, text: str) -> int:
    for pid in processes(node):
        try:
            if text in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        except OSError:
            continue
    return 0


async def test_a_driver_with_the_token_can_make_an_actor(node: RayNode) -> None:
    assert drive(node).stdout == "hello\n"
    assert node.token_file.stat().st_mode & 0o777 == 0o600


async def test_a_driver_with_another_token_is_refused(node: RayNode, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("0" * 43)
    refused = drive(node, RAY_AUTH_TOKEN_PATH=str(other))
    assert refused.returncode != 0
    assert "hello" not in refused.stdout


async def test_a_gcs_that_is_killed_comes_back_with_its_tables(node: RayNode) -> None:
    first = find(node, "gcs_server")
    os.kill(first, signal.SIGKILL)
    deadline_s = time.monotonic() + 30
    while find(node, "gcs_server") in {0, first}:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(POLL_EVERY_S)
    assert drive(node).stdout == "hello\n"


async def test_stopping_it_leaves_no_process_and_nothing_outside_its_folder(tmp_path: Path) -> None:
    deep = tmp_path / "so-deep-that-the-path-of-a-socket-in-it-would-be-too-long"
    state = State(deep)
    node = RayNode(state)
    await node.start()
    below = processes(node)
    elsewhere = Path((deep / "elsewhere").read_text())
    assert (elsewhere / "ray").exists()
    await node.stop()
    state.clear_elsewhere()
    assert not elsewhere.exists()
    deadline_s = time.monotonic() + 20
    while [pid for pid in below if Path(f"/proc/{pid}/exe").exists()]:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(POLL_EVERY_S)
