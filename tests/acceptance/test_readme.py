"""The README's walk through one order's life does what it says, line by line."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from tests.acceptance.shop import Shop

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_walk_through_one_orders_life_ends_delivered(shop: Shop) -> None:
    walk = re.search(r"<!-- walk -->\n```bash\n(.*?)```", README.read_text(), re.DOTALL)
    assert walk is not None
    script = walk.group(1).replace("http://127.0.0.1:8000", shop.endpoints["api"])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=README.parent,
        env={**os.environ, "ORDERSVC_STATE_DIR": str(shop.folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [answer.get("status") for answer in answers[:3]] == ["confirmed", "shipped", "delivered"]
    assert answers[-1]["data"][-1]["type"] == "PedidoEntregado"
