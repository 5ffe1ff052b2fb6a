"""The validator of the AsyncAPI Initiative, `@asyncapi/cli`: the document against the specification and its rules of good use."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.tools.npm import NODE_PROGRAM, installed

PROJECT = Path(__file__).parent / "asyncapi-cli"
VALIDATE_LIMIT_S = 120


def findings_of(document: Path, folder: Path) -> list[dict[str, Any]]:
    """What it finds in a document, hints included. ``folder`` is for what it writes."""
    program = installed(PROJECT) / "@asyncapi/cli/bin/run_bin"
    (folder / "analytics.json").write_text(json.dumps({"analyticsEnabled": "false", "userID": ""}))
    found = folder / "findings.json"
    done = subprocess.run(
        [
            *(NODE_PROGRAM, program, "validate", document, "--fail-severity", "hint"),
            *("--log-diagnostics", "--diagnostics-format", "json", "--save-output", found),
        ],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=VALIDATE_LIMIT_S,
        # It tells its makers of each run unless it is told not to.
        env={**os.environ, "CI": "true", "ASYNCAPI_METRICS_CONFIG_PATH": str(folder / "analytics.json")},
    )
    assert found.exists(), done.stdout + done.stderr
    findings: list[dict[str, Any]] = json.loads(found.read_text())
    assert (done.returncode == 0) == (not findings), done.stdout + done.stderr
    return findings
