"""A thousand seeds of bad weather, and proof that the laws would notice: each seed replays exactly, each mutation is found.

A seed that breaks a law is lived again, step by step, by `python -m tests.faults.simulation --seeds N --trace`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.simulation.mutations import MUTATIONS
from tests.faults.simulation.run import simulate

ROOT = Path(__file__).resolve().parents[3]
SEEDS = 1000
BLOCK = 50
FOUND_WITHIN_SEEDS = 400


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_weather_breaks_a_law(first: int) -> None:
    reports = [simulate(seed) for seed in range(first, first + BLOCK)]
    broken = [f"seed {report.seed}: {line}" for report in reports for line in report.broken]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_laws_find_a_service_that(name: str) -> None:
    mutation, often = MUTATIONS[name]
    with mutation():
        assert any(simulate(seed, often=often).broken for seed in range(FOUND_WITHIN_SEEDS)), "nobody noticed"


def test_a_seed_replays_exactly_in_this_process_and_in_another() -> None:
    """Python orders sets of texts otherwise in each process; nothing here may hang on that."""
    seeds = range(5)
    hashes = [simulate(seed).trace_hash for seed in seeds]
    assert [simulate(seed).trace_hash for seed in seeds] == hashes
    assert len(set(hashes)) == len(hashes)
    elsewhere = subprocess.run(
        [sys.executable, "-m", "tests.faults.simulation", "--seeds", f"{seeds[0]}-{seeds[-1]}", "--hashes"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "77"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for seed in seeds:
        assert f"{seed} {hashes[seed]}" in elsewhere.stdout.splitlines()
