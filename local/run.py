"""Behind `./dev run`: starts everything on this machine, keeps it running, and ends it without a trace.

    python -m local.run        settings by the environment; a URL that is given is used, the rest is started here

One state folder belongs to one start at a time. Nothing outlives this process, whatever ends it: see ``local.guard``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from local.errors import LocalError
from local.guard import clear, guarded
from local.service import LocalService
from local.speech import say
from local.state import State
from settings import Settings, settings_or_exit

DID_NOT_START = 2


async def serve(config: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises ``LocalError`` when something does not start."""
    state = State(config.state_dir)
    state.lock()
    service = LocalService(state, config)
    stop_wanted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop_wanted.set)
    stopping = asyncio.create_task(stop_wanted.wait())
    running = asyncio.create_task(_start_and_keep(service))
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        say("stopping ...")
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, LocalError):
            await running
        await service.stop()
        say("everything is down")
        clear()  # a download in a thread, which nothing else can cut short


async def _start_and_keep(service: LocalService) -> None:
    await service.start()
    await service.keep()


def run() -> int:
    """Do all of it and give the exit code: 0 after a stop that was asked for, 2 when something did not start."""
    config = settings_or_exit()
    try:
        asyncio.run(serve(config))
    except LocalError as failure:
        print(f"./dev run: {failure}", file=sys.stderr, flush=True)
        return DID_NOT_START
    return 0


if __name__ == "__main__":
    sys.exit(guarded(run))
