"""A private Ray head node on loopback, with a token, its dashboard, and tables that survive the loss of its GCS.

Ray listens on all interfaces whatever its address is, so every one of its doors asks for the token. The sockets' paths
must be short, so a deep state folder has them elsewhere. What is in the GCS's tables belongs to one run: actors come
back by themselves while it lasts, and are made anew by the next one from the database, which alone is the truth.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from local.children import Child, answers
from local.state import PLAIN, PROJECT, State

START_LIMIT_S = 120.0
STOP_LIMIT_S = 15.0
OBJECT_STORE_BYTES = 100 * 1024 * 1024
FOLDER_LENGTH_MAX = 40  # a socket's path has room for 107 bytes, of which Ray's session and socket names take 65


class RayNode:
    """One head node. ``start``, then ``address`` and ``environment``; ``stop`` ends it with all its actors."""

    name = "ray"

    def __init__(self, state: State, settings: Mapping[str, str] | None = None) -> None:
        """``settings``: the variables that the service's processes on this node read at their start; none of them is a secret."""
        self._state = state
        self._settings = settings or {}
        self.child: Child | None = None
        self.port = 0
        self.dashboard_port = 0
        self._folder = Path()
        self._is_complete = False

    @property
    def address(self) -> str:
        """What drivers connect to, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard's base URL; its API wants the token as a bearer."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def token_file(self) -> Path:
        """The file with the token, for its owner only."""
        return self._state.folder / "ray-token.secret"

    def environment(self) -> dict[str, str]:
        """What every process needs that talks to this node; the token itself is not among it, only its file."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray takes 127.0.0.1 for another address of the machine unless it is told that there is no cluster to join.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_ADDRESS": self.address,
        }

    async def start(self) -> None:
        """Return when drivers can connect. Raises ``NotReady``, ``Taken``."""
        self._state.secret("ray-token")
        self.port = self._state.port("ray")
        self.dashboard_port = self._state.port("ray-dashboard")
        self._folder = self._fresh_folder()
        tables = self._state.subfolder("ray-tables")
        shutil.rmtree(tables)
        tables.mkdir(mode=0o700)
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": os.environ.get("HOME", str(self._state.folder)),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._folder),
            **{name: value for name, value in os.environ.items() if name.startswith("RAY_")},
            **self.environment(),
            **{name: value for name, value in self._settings.items() if name.startswith("ORDERSVC_")},
            "RAY_gcs_storage": "rocksdb",
            "RAY_gcs_storage_path": str(tables),
            # Workers are made for actors only; idle ones that were made ahead cost 60 MB each.
            "RAY_enable_worker_prestart": "0",
            "RAY_prestart_worker_first_driver": "0",
            "RAY_HEAD_PORT": str(self.port),
            "RAY_HEAD_DASHBOARD_PORT": str(self.dashboard_port),
            "RAY_HEAD_FOLDER": str(self._folder),
            "RAY_HEAD_OBJECT_STORE_BYTES": str(OBJECT_STORE_BYTES),
            # Workers import the project's packages.
            "PYTHONPATH": str(PROJECT),
        }
        environment.pop("RAY_ADDRESS")
        command = [sys.executable, "-m", "local.ray_head"]
        log = self._state.folder / "ray.log"
        self._is_complete = False
        self.child = Child(self.name, command, log=log, environment=environment, folder=PROJECT)
        await self.child.until(self.is_ready, START_LIMIT_S)

    async def is_ready(self) -> bool:
        """Whether the node said that it is complete, and its GCS takes connections."""
        self._is_complete = self._is_complete or (self.child is not None and self.child.has_said(b"ready"))
        return self._is_complete and await answers("127.0.0.1", self.port) is not None

    async def dashboard_is_ready(self) -> bool:
        """Whether the dashboard takes connections, which it does some seconds after the node itself."""
        return await answers("127.0.0.1", self.dashboard_port) is not None

    async def stop(self) -> None:
        """End the node with all that runs on it."""
        if self.child is not None:
            await self.child.stop(signal.SIGTERM, STOP_LIMIT_S)

    def _fresh_folder(self) -> Path:
        """An empty folder for sockets and logs, whose path is short."""
        folder = self._state.folder / "ray"
        if len(str(folder)) > FOLDER_LENGTH_MAX or not PLAIN.fullmatch(str(folder)):
            folder = self._state.elsewhere / "ray"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder
