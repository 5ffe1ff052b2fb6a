"""The driver that brings the Ray actors up, and stays to see that the supervisor lives.

python -m actors.runtime        connects to RAY_ADDRESS, starts the supervisor, prints ``ready``, watches over it
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, suppress
from typing import Any

import ray

from actors.processes import composition
from actors.processes.logs import set_up_logs
from actors.processes.ray_actors import NAMESPACE, RayProcesses
from actors.rpc.clients import SILENT, ProcessClients
from actors.rpc.connection import CallFailed, ProcessGone
from actors.rpc.process_names import SUPERVISOR
from settings import Settings, settings_or_exit
from storage.errors import WrongSchema
from storage.migrate import check_schema

LOOK_EVERY_S = 0.1


async def _all_up(clients: ProcessClients) -> None:
    """Return once the supervisor sees every process up, however long that takes; it raises an alert for one that does not come."""
    supervisor = clients.get(SUPERVISOR)
    while True:
        await supervisor.found.wait()
        with suppress(ProcessGone, CallFailed):
            report: dict[str, Any] = await supervisor.call("report")
            if set(report["expected"]) <= set(report["up"]):
                return
        await asyncio.sleep(LOOK_EVERY_S)


async def main() -> None:
    """Bring everything up, say so, and watch over the supervisor until asked to stop."""
    config = settings_or_exit()
    set_up_logs(config.log_level, process="runtime")
    async with AsyncExitStack() as opened:
        try:
            await composition.once_reachable(lambda: check_schema(config.database_url.get_secret_value()))
        except WrongSchema as error:
            sys.exit(str(error))
        directory = await composition.once_reachable(
            lambda: opened.enter_async_context(composition.directory_of(config, "runtime"))
        )
        connect(config)
        processes = RayProcesses(config)

        def lost(name: str, why: str) -> None:
            if why == SILENT:
                asyncio.get_running_loop().run_in_executor(None, processes.replace, name)

        clients = composition.make_clients(config, directory)
        opened.callback(clients.stop)
        clients.on_lost = lost
        processes.start(SUPERVISOR)
        await _all_up(clients)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()


def connect(config: Settings) -> None:
    """Attach this process to Ray. Raises ``ConnectionError`` when no Ray answers at the address.

    The handler of SIGTERM stays: Ray's own would end the process in the middle of its work.
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(
        address=config.ray_address or "auto",
        namespace=NAMESPACE,
        log_to_driver=False,
        configure_logging=False,
        ignore_reinit_error=True,
    )
    signal.signal(signal.SIGTERM, on_sigterm)


if __name__ == "__main__":
    asyncio.run(main())
