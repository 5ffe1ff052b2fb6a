"""Installs the peers into the cache folder: a private Python environment and npm folder, never the repository.

The registries are whatever the machine's own pip and npm are set up with.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from local.state import cache_folder

PYTHON_PACKAGES = ("dbos==3.4.0", "restate-sdk==1.3.0", "hypercorn==0.18.0", "uvloop==0.23.0")
NPM_PACKAGES = ("@restatedev/restate-server@1.7.12",)
INSTALL_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Peers:
    """Where they are. ``restate_server`` is None where npm is missing."""

    python: Path
    restate_server: Path | None


def find() -> Peers | None:
    """Find what was installed before; None when nothing was."""
    folder = cache_folder() / "bench-peers"
    python = folder / "venv" / "bin" / "python"
    server = folder / "npm" / "node_modules" / ".bin" / "restate-server"
    if not (folder / "complete").exists():
        return None
    return Peers(python, server if server.exists() else None)


def install() -> Peers:
    """Install what is missing; raises ``RuntimeError`` with the installer's last words when that fails."""
    found = find()
    if found is not None:
        return found
    folder = cache_folder() / "bench-peers"
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True, symlinks=True)
    _run([str(python), "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES])
    npm = shutil.which("npm")
    if npm is not None:
        _run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder / "npm"), *NPM_PACKAGES])
    (folder / "complete").touch()
    found = find()
    if found is None:
        raise RuntimeError("the peers were installed but are not there")
    return found


def _run(command: list[str]) -> None:
    print(f"installing: {' '.join(command[-len(PYTHON_PACKAGES) :])}", file=sys.stderr)
    done = subprocess.run(  # noqa: S603  the installers, by name
        command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")
