"""The command line of the benchmarks: all of them, whatever becomes of one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line
from benchmarks.options import Options
from benchmarks.report import Report, Target


def wrong(*told: str) -> str:
    """What is wrong with such a command line."""
    return command_line.complaint(command_line.arguments().parse_args(told))


def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *more: str, broken: str = "") -> Path:
    """Have each measurement find that its rate is 1 where 2 is wanted, and one of them fail."""

    async def measure(name: str, _: Options) -> Report:
        if name == broken:
            raise RuntimeError(f"{name} can't be measured here")
        return Report(
            name=name, machine={"cores": 2}, figures={"rate": 1.0}, targets=(Target("rate", 2.0, at_least=True),)
        )

    file = tmp_path / "figures.json"
    monkeypatch.setattr(command_line, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["bench", "--all", "--json", str(file), "--pictures", str(tmp_path), *more])
    return file


def test_all_are_measured_and_held_to_their_targets_in_one_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pretend(monkeypatch, tmp_path)
    assert command_line.main() == 0
    assert list(json.loads(file.read_text())["figures"]) == [f"{name}.rate" for name in command_line.NAMES]
    table = capsys.readouterr().out.split("every figure that has a target")[1]
    assert all(f"{name}: rate" in table for name in command_line.NAMES)


def test_a_measurement_that_fails_is_named_and_takes_no_other_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pretend(monkeypatch, tmp_path, broken="life")
    assert command_line.main() == 1
    told = capsys.readouterr()
    assert "could not be measured: life" in told.err
    assert "life can't be measured here" in told.err
    assert len(json.loads(file.read_text())["figures"]) == len(command_line.NAMES) - 1


def test_a_missed_target_is_an_error_only_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, tmp_path, "--strict")
    assert command_line.main() == 1


def test_levels_are_read_smallest_first_and_once() -> None:
    assert command_line.levels("16,1,16") == (1, 16)


@pytest.mark.parametrize("text", ["", "1,", "0,4", "1,1000", "many"])
def test_levels_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        command_line.levels(text)


def test_another_version_is_a_checkout_and_another_service_has_a_command(tmp_path: Path) -> None:
    beside = ("--beside", str(tmp_path))
    assert "no checkout" in wrong("life", *beside)
    assert wrong("life", *beside, "--beside-command", "python app.py") == ""
    assert "no folder" in wrong("life", "--beside", str(tmp_path / "nowhere"), "--beside-command", "python app.py")
    (tmp_path / "dev").touch()
    assert [wrong(name, *beside) for name in command_line.BESIDE] == [""] * len(command_line.BESIDE)


def test_options_go_with_what_they_are_for(tmp_path: Path) -> None:
    (tmp_path / "dev").touch()
    beside = ("--beside", str(tmp_path))
    assert wrong("life", *beside, "--open", "--levels", "1,16") == ""
    assert wrong("engine", "--levels", "1,16") == ""
    assert "--levels" in wrong("life", "--levels", "1")
    assert "--levels" in wrong("resident", *beside, "--levels", "1")
    assert "--open" in wrong("life", "--open")
    assert "--open" in wrong("overload", *beside, "--beside-command", "python app.py")
    assert "--beside is for" in wrong("stored", *beside)
    assert "name one" in wrong("--all", "life")
    assert "--beside is for" in wrong("--all", *beside)
    assert "rounds" in wrong("life", "--rounds", "0")
