"""Runs one scenario in a locust process of its own, and reads what came of it. The bounds on load are here."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SCENARIOS = ("new_orders", "whole_life", "edits", "browsing", "one_hot_order", "sale", "partner_slow")
STOP_TIMEOUT_S = 30
TIMEOUT_EXTRA_S = 90.0
EVERYTHING = "Aggregated"
# Locust's own exit codes: 0 well, 1 some requests failed (which is for the caller to judge).
RAN = (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be run: ``rate_per_s`` is of all users together. ``report`` None: no HTML."""

    scenario: str
    users: int
    rate_per_s: float
    seconds: int
    state: Path
    report: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that may be asked for."""

    users: int
    rate_per_s: float
    seconds: int

    def check(self, load: Load) -> None:
        """Raise ``ValueError`` for a load beyond the limits."""
        if not 1 <= load.users <= self.users:
            raise ValueError(f"1 to {self.users} users, not {load.users}")
        if not 0 < load.rate_per_s <= self.rate_per_s:
            raise ValueError(f"a rate up to {self.rate_per_s:g} a second, not {load.rate_per_s:g}")
        if not 1 <= load.seconds <= self.seconds:
            raise ValueError(f"1 to {self.seconds} seconds, not {load.seconds}")


LIMITS = Limits(users=2000, rate_per_s=5000.0, seconds=1800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One operation's figures."""

    name: str
    requests: int
    failures: int
    p50_ms: float
    p99_ms: float
    rate_per_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a load, by operation; the first failures with how often they occurred."""

    lines: tuple[Line, ...]
    failures: tuple[str, ...] = ()

    @property
    def everything(self) -> Line | None:
        """All operations together, when there were any."""
        return next((line for line in self.lines if line.name == EVERYTHING), None)

    @property
    def requests(self) -> int:
        """How many there were."""
        return self.everything.requests if self.everything else 0

    @property
    def error_share(self) -> float:
        """Which share failed."""
        return self.everything.failures / self.requests if self.everything and self.requests else 0.0

    def text(self) -> str:
        """Give a table for a terminal."""
        head = f"{'operation':<20}{'requests':>10}{'failed':>8}{'p50 ms':>9}{'p99 ms':>9}{'a second':>10}"
        rows = [
            f"{one.name:<20}{one.requests:>10}{one.failures:>8}{one.p50_ms:>9.0f}{one.p99_ms:>9.0f}{one.rate_per_s:>10.1f}"
            for one in self.lines
        ]
        return "\n".join([head, *rows, *self.failures])


def run(load: Load, api: str) -> Result:
    """Run it to its end. Raises ``RuntimeError`` with locust's words when it could not run."""
    LIMITS.check(load)
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        prefix = Path(folder) / "out"
        command = [sys.executable, "-m", "locust", "--headless", "-f", str(HERE / f"{load.scenario}.py"), "--host", api]
        command += ["--users", str(load.users), "--spawn-rate", str(load.users), "--run-time", f"{load.seconds}s"]
        command += [
            "--stop-timeout",
            str(STOP_TIMEOUT_S),
            "--csv",
            str(prefix),
            "--loglevel",
            "ERROR",
            "--only-summary",
        ]
        command += ["--state-dir", str(load.state), "--user-rate", str(load.rate_per_s / load.users)]
        if load.report is not None:
            command += ["--html", str(load.report)]
        done = subprocess.run(  # noqa: S603  our own scenarios
            command,
            capture_output=True,
            text=True,
            timeout=load.seconds + TIMEOUT_EXTRA_S,
            check=False,
            cwd=HERE.parent,
        )
        statistics = prefix.with_name("out_stats.csv")
        if done.returncode not in RAN or not statistics.exists():
            raise RuntimeError(f"locust failed: {done.stderr.strip()[-1500:]}")
        with statistics.open(newline="") as file:
            lines = read_lines(csv.DictReader(file))
        with prefix.with_name("out_failures.csv").open(newline="") as file:
            failures = tuple(
                f"{row['Occurrences']} x {row['Name']}: {row['Error'][:200]}" for row in csv.DictReader(file)
            )
    return Result(lines, failures[:10])


def read_lines(rows: Iterable[Mapping[str, str]]) -> tuple[Line, ...]:
    """Read locust's table; an operation without an answer has no percentiles, which is told as 0."""
    return tuple(
        Line(
            name=row["Name"],
            requests=int(row["Request Count"]),
            failures=int(row["Failure Count"]),
            p50_ms=_number(row["50%"]),
            p99_ms=_number(row["99%"]),
            rate_per_s=_number(row["Requests/s"]),
        )
        for row in rows
    )


def _number(text: str) -> float:
    return 0.0 if text in {"", "N/A"} else float(text)
