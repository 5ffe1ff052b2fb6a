"""The journal: each record is appended to one file before the request that made it is answered.

It is written straight to the operating system, so it survives the end of this process at any moment; a power cut may
take the last lines, which is good enough for a sandbox. It grows while the sandbox runs and is written anew, one line a
record, at each start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from local.errors import LocalError
from local.sandbox.records import Record


class Journal:
    """One file, open for one process only. Raises ``LocalError`` when another sandbox has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise LocalError(f"another partner sandbox is using {path.parent}") from None
        self._file = self._open(path)

    def read(self) -> Iterator[Record]:
        """Give what was written, in order. A last line that was cut off was never answered for, and is left out."""
        decoder = msgspec.json.Decoder(Record)
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield decoder.decode(line)

    def append(self, record: Record) -> None:
        """Write one record. Raises ``OSError`` when it can't be kept; its request must not be answered then."""
        line = self._encoder.encode(record) + b"\n"
        written = os.write(self._file, line)
        if written != len(line):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError("no room left for the journal")

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace everything by ``records``, whole or not at all."""
        partial = self._path.with_suffix(".part")
        with partial.open("wb") as file:
            file.writelines(self._encoder.encode(record) + b"\n" for record in records)
        partial.replace(self._path)
        os.close(self._file)
        self._file = self._open(self._path)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
        os.close(self._lock)

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
