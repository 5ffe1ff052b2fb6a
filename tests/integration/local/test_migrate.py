"""`./dev migrate`: what it says, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import pytest

from local.migrate import main
from settings import settings
from tests.conftest import run_now


@pytest.fixture
def beside(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings of a state folder whose service runs on a database of the test's own."""
    monkeypatch.delenv("ORDERSVC_DATABASE_URL", raising=False)
    monkeypatch.setenv("ORDERSVC_STATE_DIR", str(tmp_path))
    (tmp_path / "endpoints.json").write_text(json.dumps({"database": database_url}))
    settings.cache_clear()
    return database_url


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def test_it_applies_what_is_missing_and_nothing_twice(beside: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_now(execute(beside, "drop schema public cascade; create schema public"))
    assert main(["--check"]) == 1
    assert "lacks 0001_orders.sql" in capsys.readouterr().err
    assert main([]) == 0
    assert "applied 0001_orders.sql" in capsys.readouterr().out
    assert main(["--check"]) == 0
    assert main([]) == 0
    assert "nothing to apply" in capsys.readouterr().out


def test_a_database_of_a_newer_release_is_told(beside: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_now(execute(beside, "insert into schema_migrations (name, checksum) values ('9999_later.sql', '')"))
    assert main(["--check"]) == 1
    assert "9999_later.sql" in capsys.readouterr().err


def test_a_file_that_fails_is_told(beside: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_now(execute(beside, "delete from schema_migrations where name = '0001_orders.sql'"))
    assert main([]) == 1
    assert "0001_orders.sql can't be applied" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_database_that_is_away_is_told(
    beside: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDERSVC_DATABASE_URL", "postgresql://nobody:hidden@127.0.0.1:1/none")
    settings.cache_clear()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said
    assert "hidden" not in said


def test_nothing_that_says_where_the_database_is_is_told(
    beside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "endpoints.json").unlink()
    assert main([]) == 2
    assert "ORDERSVC_DATABASE_URL" in capsys.readouterr().err
