"""Beside a service that is given, the tests that need their own are left out, and the others are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import GIVEN
from tests.acceptance.started import ROOT

COLLECT_LIMIT_S = 120
FILES = ("test_crash.py", "test_events.py", "test_life.py", "test_running.py")


def test_those_that_need_a_service_of_their_own_are_left_out_beside_a_given_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *FILES],
        cwd=ROOT / "tests/acceptance",
        env={**os.environ, GIVEN: "endpoints.json"},
        capture_output=True,
        text=True,
        timeout=COLLECT_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    collected = {Path(line.partition("::")[0]).name for line in done.stdout.splitlines() if "::" in line}
    assert collected == {"test_events.py", "test_life.py"}
    assert "deselected" in done.stdout
