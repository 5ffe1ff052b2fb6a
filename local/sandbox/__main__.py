"""Run the partner sandbox: ``python -m local.sandbox [--port 8300]``. A tool for development; see the package.

Settings: ``ORDERSVC_STATE_DIR`` (it keeps its journal in ``sandbox/`` there) and ``ORDERSVC_AMQP_URL`` (empty: it
publishes nothing). The first line on standard output is its base URL, printed when it answers; the partners are at
``<base>/product``, ``<base>/payment`` and ``<base>/user``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import uvloop

from local.errors import LocalError
from local.sandbox.emulator import open_emulator
from local.sandbox.server import SandboxServer
from settings import settings_or_exit


async def serve(port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_, stop.set)
    configured = settings_or_exit()
    emulator = open_emulator(configured.state_dir / "sandbox", configured.amqp_url.get_secret_value())
    server = SandboxServer(emulator)
    print(f"http://127.0.0.1:{await server.start(port)}", flush=True)
    await stop.wait()
    await server.stop()


def main() -> int:
    """Read the arguments, serve, and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.sandbox", description="The partner sandbox, on loopback.")
    parser.add_argument("--port", type=int, default=8300, help="0 takes a free one")
    arguments = parser.parse_args()
    try:
        uvloop.run(serve(arguments.port))
    except (LocalError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
