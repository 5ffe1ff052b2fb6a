"""Failpoints end the process that passes them; here it is a child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from actors.order.failpoints import EXIT_CODE, NAMES, Failpoint

ROOT = Path(__file__).resolve().parents[3]
PASSES = """
import sys
from pathlib import Path
from actors.order.failpoints import Failpoint
failpoint = Failpoint(Path(sys.argv[1]))
for turn in range(5):
    failpoint.hit("after_commit")
    failpoint.hit("before_reply")
    print(turn)
"""


def passes(folder: Path) -> tuple[int, list[str]]:
    command = [sys.executable, "-u", "-c", PASSES, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.split()


def test_without_a_folder_every_place_is_passed() -> None:
    for name in NAMES:
        Failpoint(None).hit(name)


def test_a_process_dies_at_the_armed_place_once(tmp_path: Path) -> None:
    (tmp_path / "before_reply").write_text("3")
    assert passes(tmp_path) == (EXIT_CODE, ["0", "1"])
    assert list(tmp_path.iterdir()) == []
    assert passes(tmp_path) == (0, ["0", "1", "2", "3", "4"])


def test_an_empty_file_means_the_next_pass(tmp_path: Path) -> None:
    (tmp_path / "after_commit").touch()
    assert passes(tmp_path) == (EXIT_CODE, [])
