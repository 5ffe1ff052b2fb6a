"""A shard dies at every step boundary, one after the other, in the middle of orders' lives: the lives go on, and the laws hold."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from actors.order.failpoints import NAMES
from tests.faults.run import service
from tests.faults.under_load import SETTINGS, under_load

SEED = 3
CLIENTS = 8
# At the next pass, and at a later one: of another step, another order, another batch.
PASSES = (1, 5)
CONSUMED_LIMIT_S = 30.0
FINISHED_MIN = 10


async def _take_through(folder: Path) -> list[str]:
    """Arm each place in turn, and wait until somebody has died there."""
    died = []
    for passes in PASSES:
        for name in NAMES:
            armed = folder / name
            armed.with_suffix(".tmp").write_text(str(passes))
            armed.with_suffix(".tmp").rename(armed)
            deadline_s = time.monotonic() + CONSUMED_LIMIT_S
            while armed.exists():
                assert time.monotonic() < deadline_s, f"nobody passes {name}"
                await asyncio.sleep(0.05)
            died.append(name)
    return died


def test_orders_survive_the_death_of_their_shard_at_every_step_boundary(tmp_path: Path) -> None:
    died: list[str] = []

    async def sweep() -> None:
        died.extend(await _take_through(tmp_path))

    with service(settings={**SETTINGS, "FAILPOINTS_DIR": str(tmp_path)}) as started:
        came = asyncio.run(under_load(started, SEED, CLIENTS, sweep))
    print(came)
    assert died == list(NAMES) * len(PASSES)
    assert not came.violations, "\n".join(map(str, came.violations))
    assert came.finished >= FINISHED_MIN, came
