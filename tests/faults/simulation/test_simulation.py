"""A thousand seeds of bad weather, and proof that the laws would notice: each seed replays exactly, each mutation is found.

A seed that breaks a law is lived again, step by step, by `python -m tests.faults.simulation --seeds N --trace`.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.faults.simulation.mutations import MUTATIONS
from tests.faults.simulation.run import simulate

ROOT = Path(__file__).resolve().parents[3]
SEEDS = 1000
BLOCK = 50
FIRSTS = range(0, SEEDS, BLOCK)
FOUND_WITHIN_SEEDS = 400


@pytest.fixture(scope="module")
def cores() -> Iterator[ProcessPoolExecutor]:
    """A process a core: a seed needs nothing of another."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def lived(request: pytest.FixtureRequest, cores: ProcessPoolExecutor) -> dict[int | str, Future[list[str]]]:
    """What is asked for by the tests of this run: the laws broken in each block of seeds, and under each mutation."""
    wanted = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    blocks = [first for first in FIRSTS if {"first": first} in wanted]
    mutations = [name for name in MUTATIONS if {"name": name} in wanted]
    return {first: cores.submit(broken_in, first) for first in blocks} | {
        name: cores.submit(broken_under, name) for name in mutations
    }


def broken_in(first: int) -> list[str]:
    """Live a block of seeds."""
    reports = [simulate(seed) for seed in range(first, first + BLOCK)]
    return [f"seed {report.seed}: {line}" for report in reports for line in report.broken]


def broken_under(name: str) -> list[str]:
    """Live seeds of a service that is wrong in one way, until a law is broken."""
    mutation, often = MUTATIONS[name]
    with mutation():
        lives = (simulate(seed, often=often).broken for seed in range(FOUND_WITHIN_SEEDS))
        return next((list(broken) for broken in lives if broken), [])


@pytest.mark.parametrize("first", FIRSTS)
def test_no_weather_breaks_a_law(first: int, lived: dict[int | str, Future[list[str]]]) -> None:
    broken = lived[first].result()
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_laws_find_a_service_that(name: str, lived: dict[int | str, Future[list[str]]]) -> None:
    assert lived[name].result(), "nobody noticed"


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
