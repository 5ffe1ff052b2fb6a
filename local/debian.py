"""Programs for a machine that has none: Debian's own signed packages, unpacked into the cache without being installed.

RabbitMQ is what the service needs; tests have others fetched. No package registry of Python has such programs. apt verifies what it
downloads against the keys of the machine; this works without root, since apt gets folders of its own. Standard library only:
`./dev` runs it beside making the environment.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from local.errors import LocalError
from local.state import plain_cache_folder

COMMAND_LIMIT_S = 300
SERVER = Path("usr/lib/rabbitmq/bin/rabbitmq-server")
WHAT_TO_DO = "install rabbitmq-server, or give the address of a RabbitMQ as ORDERSVC_AMQP_URL"
ERL = """#!/bin/sh
# Debian's own start script has its folder written into it, so it can't be run from another one.
ROOTDIR={root}/usr/lib/erlang
BINDIR=$(echo "$ROOTDIR"/erts-*/bin)
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" "$@"
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a RabbitMQ and its Erlang lie: ``/`` where they are installed, else a folder laid out in the same way."""

    root: Path

    @property
    def home(self) -> Path:
        """RabbitMQ's folder with ``sbin``, ``escript`` and ``plugins``. Raises ``LocalError``."""
        homes = sorted((self.root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
        if not homes:
            message = f"there is no RabbitMQ under {self.root}; {WHAT_TO_DO}"
            raise LocalError(message)
        return homes[-1]

    @property
    def erlang_programs(self) -> Path:
        """The folder with ``erl``, ``epmd`` and ``erl_call``."""
        return self.root / "usr/lib/erlang/bin"

    def library_path(self) -> str:
        """Where the libraries lie that Erlang needs and this machine lacked."""
        return ":".join(str(path) for path in sorted((self.root / "usr/lib").glob("*-linux-*"))) if self.is_ours else ""

    @property
    def is_ours(self) -> bool:
        """Whether it was unpacked by us and not installed."""
        return self.root != Path("/")


def find() -> Installation:
    """The installed RabbitMQ, or the one in the cache, which is fetched where it is missing. Raises ``LocalError``."""
    if (Path("/") / SERVER).exists() and Path("/usr/lib/erlang/bin/erl").exists():
        return Installation(Path("/"))
    return Installation(unpacked("rabbitmq", SERVER, _fetch_rabbitmq, WHAT_TO_DO))


def unpacked(name: str, program: Path, fetch: Callable[[Apt, Path], None], what_to_do: str) -> Path:
    """The folder in the cache that holds ``program``; where it does not, ``fetch`` has it fetched. Raises ``LocalError``.

    ``fetch`` gets the folder as well, since a program may have to know where it is going to lie.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        message = f"{name} is not installed, and without apt-get it can't be fetched: {what_to_do}"
        raise LocalError(message)
    folder = plain_cache_folder() / f"{name}-{_release()}"
    if not (folder / program).exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / program).exists():
                _fetch(name, folder, fetch, what_to_do)
    return folder


class Apt:
    """apt-get with all its folders in ``work``: it needs no root, and what the machine knows of packages stays as it is."""

    def __init__(self, work: Path, name: str, what_to_do: str) -> None:
        """``name`` and ``what_to_do``: of what is fetched, for errors."""
        self.root = work / "root"
        self._work = work
        self._name = name
        self._what_to_do = what_to_do
        for part in ("lists/partial", "cache/archives/partial", "packages", "root"):
            (work / part).mkdir(parents=True)
        (work / "empty").touch()
        self._command = [
            "apt-get", "-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}/cache",
            "-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "-o", "APT::Update::Post-Invoke-Success::=",
            "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=20",
        ]  # fmt: skip

    def update(self) -> str:
        """Read what packages there are; gives what apt-get says, which is no failure where only a part can't be had."""
        return self._run([*self._command, "update"], self._work, must_succeed=False)

    def simulate(self, package: str, *, on_bare_machine: bool) -> str:
        """Tell what would be installed with a package: on a machine that has nothing, or on this one."""
        bare = ["-o", f"Dir::State::status={self._work}/empty"] if on_bare_machine else []
        command = [*self._command, *bare, "--simulate", "--no-install-recommends", "install", package]
        return self._run(command, self._work, must_succeed=False)

    def unpack(self, packages: list[str]) -> None:
        """Download packages, verified by their signatures, and unpack them into ``root``. Raises ``LocalError``."""
        self._run([*self._command, "download", *packages], self._work / "packages")
        for file in sorted((self._work / "packages").glob("*.deb")):
            self._run(["dpkg", "-x", str(file), str(self.root)], self._work)

    def give_up(self, said: str) -> NoReturn:
        """Raise ``LocalError`` for packages that can't be found; ``said`` is what apt-get said."""
        message = f"Debian's packages could not be read: {self._what_to_do}\n{_tail(said)}"
        raise LocalError(message)

    def _run(self, command: list[str], folder: Path, *, must_succeed: bool = True) -> str:
        try:
            done = subprocess.run(  # noqa: S603 -- the commands are our own
                command, cwd=folder, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False,
                env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            message = f"fetching {self._name}: {command[0]} took longer than {COMMAND_LIMIT_S} s; {self._what_to_do}"
            raise LocalError(message) from None
        if must_succeed and done.returncode != 0:
            message = f"fetching {self._name}: {command[0]} failed: {self._what_to_do}\n{_tail(done.stderr)}"
            raise LocalError(message)
        return done.stdout + done.stderr


def wanted(simulated_bare: str, simulated_here: str) -> list[str]:
    """The packages to download, from what apt would install on an empty machine and on this one.

    RabbitMQ and all of Erlang come from the first, so that they match each other; from the second only the
    libraries that this machine lacks.
    """
    bare = re.findall(r"^Inst (rabbitmq-server|erlang-\S+) ", simulated_bare, re.MULTILINE)
    here = re.findall(r"^Inst (lib\S+) ", simulated_here, re.MULTILINE)
    return sorted({*bare, *here})


def _release() -> str:
    text = Path("/etc/os-release").read_text()
    named = dict(re.findall(r'^(ID|VERSION_ID|VERSION_CODENAME)="?([^"\n]*)"?$', text, re.MULTILINE))
    machine = f"{named.get('ID', 'linux')}-{named.get('VERSION_ID') or named.get('VERSION_CODENAME', '0')}"
    return f"{machine}-{os.uname().machine}"


def _fetch(name: str, folder: Path, fetch: Callable[[Apt, Path], None], what_to_do: str) -> None:
    """Download, unpack, then rename: the folder is whole or not there. Raises ``LocalError``."""
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as work:
        apt = Apt(Path(work), name, what_to_do)
        fetch(apt, folder)
        shutil.rmtree(folder, ignore_errors=True)
        apt.root.rename(folder)
        folder.chmod(0o755)


def _fetch_rabbitmq(apt: Apt, folder: Path) -> None:
    updated = apt.update()
    bare = apt.simulate("rabbitmq-server", on_bare_machine=True)
    names = wanted(bare, apt.simulate("rabbitmq-server", on_bare_machine=False))
    if "rabbitmq-server" not in names:
        apt.give_up(updated + bare)
    apt.unpack(names)
    (apt.root / "usr/lib/erlang/bin/erl").write_text(ERL.format(root=folder))


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-10:])


if __name__ == "__main__":
    try:
        find()
    except LocalError as error:
        sys.exit(str(error))
