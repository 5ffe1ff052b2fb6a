"""The state folder: what a start leaves for the next one (passwords, ports, data), each readable by its owner only.

Nothing here starts a process. Ports are kept so that addresses stay the same from one start to the next; they lie below
the range that the kernel hands out by itself, so that no outgoing connection can take one while its server is down.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from local.errors import NotUsable, Taken

PROJECT = Path(__file__).resolve().parent.parent
PORT_FIRST = 20_000
PORT_LAST = 32_000
PORT_TRIES_MAX = 200
PLAIN = re.compile(r"[A-Za-z0-9/._+-]{1,100}")
TEMPORARY_LENGTH_MAX = 20  # so that sockets, whose paths have room for 107 bytes, may lie below
EPHEMERAL_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def cache_folder() -> Path:
    """Where downloads are kept for all state folders: ``ordersvc`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``.

    Where these can't be written, ``.cache`` in the project. Raises ``NotUsable`` where nothing can.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    bases = [Path(base)] if base.startswith("/") else []
    with contextlib.suppress(RuntimeError):  # a user without a home
        bases.append(Path.home() / ".cache")
    folders = [each / "ordersvc" for each in [*bases, PROJECT / ".cache"]]
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise NotUsable(f"none of these folders can be written, and downloads belong there: {', '.join(map(str, folders))}")


def plain_cache_folder() -> Path:
    """The same for what can't lie under a path with spaces, quotes or letters: else a folder of the user's in ``/var/tmp``.

    Raises ``NotUsable`` where that folder is somebody else's.
    """
    folder = cache_folder()
    if PLAIN.fullmatch(str(folder)):
        return folder
    folder = Path("/var/tmp") / f"ordersvc-{os.geteuid()}"  # noqa: S108 - it is looked at who owns it
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise NotUsable(f"{folder} must be a folder of yours that nobody else can write")
    return folder


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now. A closed server's connections in TIME_WAIT do not count."""
    return listening_fault(port, host) is None


def listening_fault(port: int, host: str) -> OSError | None:
    """What keeps a server from listening there now; its ``errno`` is ``EADDRINUSE`` where somebody else does."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as fault:
        return fault
    return None


def port_range(ephemeral: str) -> range:
    """The ports to choose from, given the text of the kernel's ephemeral range (``32768 60999``)."""
    first_ephemeral = int(ephemeral.split(maxsplit=1)[0])
    last = min(PORT_LAST, first_ephemeral - 1)
    return range(PORT_FIRST, last + 1) if last - PORT_FIRST >= PORT_TRIES_MAX else range(10_000, first_ephemeral)


def write_private(path: Path, text: str) -> None:
    """Write a file whole, for its owner only: who reads it sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


class State:
    """One state folder. Not for use by two starts at a time: see ``lock``."""

    def __init__(self, folder: Path) -> None:
        """Raises ``NotUsable`` where the folder can't be made or written."""
        self.folder = folder.absolute()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except (OSError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its path is too long"
            raise NotUsable(f"the state folder {self.folder} can't be used: {reason}") from None
        self._lock_file: int | None = None
        self._ports_given: dict[str, int] = {}
        self._elsewhere: Path | None = None

    def lock(self) -> None:
        """Keep every other start out of this folder until this process ends. Raises ``Taken``."""
        file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(file, 32).decode().strip() or "unknown"
            os.close(file)
            message = (
                f"{self.folder} is in use by another start (process {owner}); "
                "stop that one, or set ORDERSVC_STATE_DIR to another folder"
            )
            raise Taken(message) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._lock_file = file

    def subfolder(self, name: str) -> Path:
        """A folder of its own for one server, for the owner only."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @property
    def plain_folder(self) -> Path:
        """The folder by a path of few and plain characters: scripts of servers stumble over spaces, quotes and letters."""
        if PLAIN.fullmatch(str(self.folder)):
            return self.folder
        link = self.elsewhere / "state"
        if not link.is_symlink():
            link.symlink_to(self.folder)
        return link

    @property
    def elsewhere(self) -> Path:
        """A folder with a short path for what needs one; ``clear_elsewhere`` empties it. Raises ``NotUsable``.

        It has the same path at each start: RabbitMQ writes down where its data was.
        """
        if self._elsewhere is None:
            self.clear_elsewhere()
            note = self.folder / "elsewhere"
            if not note.exists():
                default = tempfile.gettempdir()
                is_good = len(default) <= TEMPORARY_LENGTH_MAX and PLAIN.fullmatch(default)
                write_private(note, f"{default if is_good else '/tmp'}/ordersvc-{secrets.token_hex(4)}")  # noqa: S108
            folder = Path(note.read_text())
            try:
                folder.mkdir(mode=0o700)
            except OSError as error:
                raise NotUsable(f"{folder}, which {note} names, can't be made: {error.strerror}") from None
            self._elsewhere = folder
        return self._elsewhere

    def clear_elsewhere(self) -> None:
        """Remove what this start, or an earlier one that was killed, has put elsewhere."""
        with contextlib.suppress(OSError):
            folder = Path((self.folder / "elsewhere").read_text())
            if folder.lstat().st_uid == os.geteuid():
                shutil.rmtree(folder)
        self._elsewhere = None

    def secret(self, name: str) -> str:
        """A random text (43 characters, URL-safe) that is made once and then kept."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text()

    def port(self, name: str) -> int:
        """The port kept under this name; another one where somebody took it before this start. Raises ``Taken``.

        Once told, it stays: a server that is started again has to be found where it was.
        """
        if name not in self._ports_given:
            self._ports_given[name] = self._choose_port(name)
        return self._ports_given[name]

    def _choose_port(self, name: str) -> int:
        path = self.folder / "ports.json"
        ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        if name in ports and is_free(ports[name]):
            return ports[name]
        candidates = port_range(EPHEMERAL_RANGE_FILE.read_text() if EPHEMERAL_RANGE_FILE.exists() else "32768 60999")
        for _ in range(PORT_TRIES_MAX):
            candidate = secrets.choice(candidates)
            if candidate not in ports.values() and is_free(candidate):
                ports[name] = candidate
                write_private(path, json.dumps(ports, indent=1))
                return candidate
        message = f"no free port between {candidates.start} and {candidates.stop} for {name}"
        raise Taken(message)
