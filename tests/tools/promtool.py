"""Prometheus's own judge of metrics, ``promtool check metrics``: the installed one, or Debian's, unpacked into the cache."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from local.debian import Apt, unpacked

PROGRAM = Path("usr/bin/promtool")
WHAT_TO_DO = "install prometheus, which brings promtool"
CHECK_LIMIT_S = 30


def findings_of(text: str) -> list[str]:
    """What it finds in a text of metrics, a line each."""
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=CHECK_LIMIT_S
    )
    findings = (done.stdout + done.stderr).splitlines()
    assert (done.returncode == 0) == (not findings), findings
    return findings


def promtool() -> Path:
    """Where it is; it is fetched where it is missing. Raises ``LocalError``."""
    found = shutil.which("promtool")
    return Path(found) if found else unpacked("promtool", PROGRAM, _fetch, WHAT_TO_DO) / PROGRAM


def _fetch(apt: Apt, folder: Path) -> None:
    updated = apt.update()
    simulated = apt.simulate("prometheus", on_bare_machine=True)
    if "Inst prometheus " not in simulated:
        apt.give_up(updated + simulated)
    apt.unpack(["prometheus"])
