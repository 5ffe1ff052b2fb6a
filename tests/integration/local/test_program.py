"""Programs of the service as child processes, with real ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from local.guard import descendants, parents
from local.program import Program, said_ready
from local.state import State
from tests.acceptance.started import life_of


async def test_what_a_killed_program_leaves_running_does_not_keep_its_successor_from_the_port(tmp_path: Path) -> None:
    """The first process of an API with several died; its workers held the port, so that no other could ever start."""
    state = State(tmp_path)
    module = "tests.integration.local.family"
    program = Program(
        "family", [module, str(state.port("family"))], said_ready, state=state, environment=dict(os.environ)
    )
    await program.start()
    try:
        first = program.child
        assert first is not None
        workers = descendants(first.pid, parents())
        assert workers
        os.kill(first.pid, signal.SIGKILL)
        assert first.process.wait() == -signal.SIGKILL
        await program.start()
        assert not [pid for pid in workers if life_of(pid) is not None]
        assert program.child is not None
        assert not program.child.has_ended()
    finally:
        await program.stop()
