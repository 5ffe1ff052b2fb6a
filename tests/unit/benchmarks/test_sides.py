from pathlib import Path

import pytest

from benchmarks.sides import Side, environment_of

URLS = {"DATABASE_URL": "postgresql://127.0.0.1/x", "JWT_KEY": "k"}


def test_a_checkout_is_told_by_the_settings_of_this_project() -> None:
    found = environment_of(Side("beside", Path("/other")), URLS, 4711, Path("/state"))
    assert found["ORDERSVC_DATABASE_URL"] == URLS["DATABASE_URL"]
    assert (found["ORDERSVC_HTTP_PORT"], found["ORDERSVC_STATE_DIR"]) == ("4711", "/state")
    assert found["ORDERSVC_RATE_LIMIT_PER_MIN"] == "0"


def test_a_command_is_told_without_a_prefix_and_finds_no_module_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    found = environment_of(Side("beside", Path("/other"), ("python", "app.py")), URLS, 4711, Path("/state"))
    assert (found["DATABASE_URL"], found["JWT_KEY"]) == (URLS["DATABASE_URL"], "k")
    assert (found["HOST"], found["PORT"]) == ("127.0.0.1", "4711")
    assert "PYTHONPATH" not in found
