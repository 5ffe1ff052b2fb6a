"""Programs of the service as child processes, with real ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from local.guard import descendants, parents
from local.program import Program, listens, said_ready
from local.service import sandbox_environment
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


async def test_the_sandbox_starts_while_the_files_of_others_secrets_are_not_there_yet(tmp_path: Path) -> None:
    """PostgreSQL was slower than RabbitMQ once, and the sandbox ended for want of a file that it has no use for."""
    state = State(tmp_path)
    amqp = tmp_path / "amqp"
    amqp.write_text("amqp://nobody:none@127.0.0.1:1/")
    port = state.port("sandbox")
    environment = dict(os.environ) | {
        "ORDERSVC_STATE_DIR": str(tmp_path),
        "ORDERSVC_AMQP_URL_FILE": str(amqp),
        "ORDERSVC_DATABASE_URL_FILE": str(tmp_path / "not-yet"),
    }
    program = Program(
        "sandbox",
        ["local.sandbox", "--port", str(port)],
        listens(port),
        state=state,
        environment=sandbox_environment(environment),
    )
    await program.start()
    try:
        assert program.child is not None
        assert not program.child.has_ended()
    finally:
        await program.stop()
