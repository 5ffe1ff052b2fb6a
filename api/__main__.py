"""Starts the API: ``python -m api`` becomes uvicorn, serving ``api.composition:service``.

Nothing of the service is imported here, so that the processes which uvicorn starts are all alike. Secrets stay in the
environment.
"""

from __future__ import annotations

import os
import shutil
import sys

from settings import Settings, settings_or_exit

GRACEFUL_S = 15
KEEP_ALIVE_S = 65
BACKLOG_MAX_CONNECTIONS = 2048


def command_of(config: Settings) -> list[str]:
    """Give uvicorn's command line: the processes share the port, one loop each."""
    return [
        *(sys.executable, "-m", "uvicorn", "api.composition:service", "--factory"),
        *("--host", config.http_host, "--port", str(config.http_port)),
        *("--workers", str(config.api_processes)),
        *("--loop", "uvloop", "--http", "api.http.http_limits:Connection", "--ws", "none", "--lifespan", "on"),
        *("--no-access-log", "--log-level", "warning", "--no-server-header", "--no-proxy-headers"),
        *("--backlog", str(BACKLOG_MAX_CONNECTIONS)),
        *("--timeout-keep-alive", str(KEEP_ALIVE_S), "--timeout-graceful-shutdown", str(GRACEFUL_S)),
    ]


def main() -> None:
    """Become the server."""
    config = settings_or_exit()
    if config.api_processes > 1:
        # prometheus-client looks for this variable when it is first imported; figures of an earlier run are not ours.
        folder = config.state_dir / "api-metrics"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    command = command_of(config)
    os.execv(command[0], command)  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
