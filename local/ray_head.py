"""The program that is a Ray head node: what `ray start --head --block` does, in half the time, and it outlives its GCS.

    python -m local.ray_head        settings by the environment, see ``local.ray_node``; prints ``ready``

`ray start` waits for the dashboard before it starts the raylet; here the dashboard comes up while the node is in use
already. A GCS that dies is started again on its port (its tables are on disk, so nothing else has to be); a dashboard
likewise; without its raylet the node is nothing, and ends. Processes of the node are tied to this one by the kernel.
It rests on Ray's private `Node`, which is why Ray's version is pinned.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

from ray._private import ray_constants
from ray._private.node import Node
from ray._private.parameter import RayParams

WATCH_EVERY_S = 0.2
RESTARTS_MAX = 20


class HeadNode(Node):
    """A head node that can be used before its dashboard is up."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Called by Ray before it starts the raylet: not yet."""

    def start_dashboard(self) -> None:
        """Start the dashboard and wait for it in a thread of its own: meanwhile a GCS may have to be mended.

        The thread never ends, since the kernel ends the dashboard with the thread that started it. The node does
        without a dashboard that does not start.
        """

        def start_and_stay() -> None:
            super(HeadNode, self).start_api_server(include_dashboard=True, raise_on_failure=False)
            threading.Event().wait()

        threading.Thread(target=start_and_stay, name="dashboard", daemon=True).start()

    def ended(self) -> list[tuple[str, int]]:
        """What ended by itself: the kind of the process, and its exit code."""
        kinds = list(self.all_processes.items())  # the dashboard's thread adds to it
        return [
            (kind, info.process.returncode)
            for kind, infos in kinds
            for info in infos
            if info.process.poll() is not None
        ]

    def mend(self, kind: str) -> None:
        """Start the process of this kind anew. Raises ``RuntimeError`` where the node can't go on without it."""
        self.all_processes.pop(kind, None)
        if kind == ray_constants.PROCESS_TYPE_GCS_SERVER:
            self._gcs_address = None
            self._gcs_client = None
            self.start_gcs_server()  # type: ignore[no-untyped-call]
        elif kind == ray_constants.PROCESS_TYPE_DASHBOARD:
            self.start_dashboard()
        else:
            message = f"the node's {kind} has ended"
            raise RuntimeError(message)


def parameters(environment: dict[str, str]) -> RayParams:
    """The node that the environment describes."""
    return RayParams(
        node_ip_address="127.0.0.1",
        node_name="127.0.0.1",
        gcs_server_port=int(environment["RAY_HEAD_PORT"]),
        dashboard_host="127.0.0.1",
        dashboard_port=int(environment["RAY_HEAD_DASHBOARD_PORT"]),  # type: ignore[arg-type]  # Ray says bool
        temp_dir=environment["RAY_HEAD_FOLDER"],
        object_store_memory=int(environment["RAY_HEAD_OBJECT_STORE_BYTES"]),
        # Nothing here scales out by itself, attaches by Ray Client, or reads workers' logs through the driver.
        no_monitor=True,
        include_log_monitor=False,  # type: ignore[arg-type]  # Ray says text
        ray_client_server_port=None,
    )


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    """Run the node until SIGTERM, or until it can't be mended."""
    node = HeadNode(parameters(dict(os.environ)), head=True, shutdown_at_exit=True, spawn_reaper=True)
    signal.signal(signal.SIGTERM, _end)
    print("ready", flush=True)
    node.start_dashboard()
    restarts = 0
    while True:
        time.sleep(WATCH_EVERY_S)
        for kind, code in node.ended():
            restarts += 1
            print(f"{kind} ended with {code}", flush=True)
            if restarts > RESTARTS_MAX:
                sys.exit(f"restarted {RESTARTS_MAX} processes, which is enough")
            node.mend(kind)


if __name__ == "__main__":
    main()
