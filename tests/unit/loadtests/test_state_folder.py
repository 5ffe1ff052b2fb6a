"""Where ``./dev load``, ``bench`` and ``capacity`` look for the service: in the folder in which ``./dev token`` finds its key.

A service that ran in another folder than ``.state`` had tokens by ``ORDERSVC_STATE_DIR``, and was not found by those three.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from loadtests import __main__ as load
from loadtests import capacity
from settings import settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the environment names, in which a service runs."""
    (tmp_path / "endpoints.json").write_text("{}")
    monkeypatch.setenv("ORDERSVC_STATE_DIR", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.mark.parametrize(
    ("parser", "words"),
    [(load.arguments, ["new_orders"]), (bench.arguments, ["life"]), (capacity.arguments, [])],
)
def test_the_service_is_looked_for_where_the_environment_says(
    folder: Path, parser: Callable[[], ArgumentParser], words: list[str]
) -> None:
    assert parser().parse_args(words).state == folder
    assert parser().parse_args([*words, "--state", "elsewhere"]).state == Path("elsewhere")


@pytest.mark.parametrize(("parser", "words"), [(bench.arguments, ["life"]), (capacity.arguments, [])])
def test_what_can_start_a_service_of_its_own_does_so_where_none_runs(
    folder: Path, parser: Callable[[], ArgumentParser], words: list[str]
) -> None:
    (folder / "endpoints.json").unlink()
    assert parser().parse_args(words).state is None
