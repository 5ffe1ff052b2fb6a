"""State folders as users have them: of any name, and some that can't be one."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from local.errors import NotUsable
from local.state import State, cache_folder, is_free, listening_fault, plain_cache_folder

AWKWARD = ("two words", "O'Neill", 'the "big" one', "órdenes", "注文", "a$b`c", "line\nbreak", "x" * 190)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_folder_of_any_name_has_a_plain_path_as_well_until_it_is_cleared(tmp_path: Path, name: str) -> None:
    state = State(tmp_path / name)
    state.subfolder("data")
    plain = state.plain_folder
    assert (plain / "data").samefile(tmp_path / name / "data")
    assert len(str(plain)) <= 100
    assert set(str(plain)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-")
    assert state.plain_folder == plain
    state.clear_elsewhere()
    assert not plain.exists()
    assert (tmp_path / name / "data").exists()
    again = State(tmp_path / name)
    assert again.plain_folder == plain, "servers have written it down"
    again.clear_elsewhere()


def test_what_a_killed_start_has_left_elsewhere_is_removed_by_the_next(tmp_path: Path) -> None:
    (State(tmp_path / "two words").elsewhere / "left").touch()
    again = State(tmp_path / "two words")
    assert not list(again.elsewhere.iterdir())
    again.clear_elsewhere()


def test_a_plain_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = Path(f"/tmp/state-{os.getpid()}")  # noqa: S108 - short, whatever the tests' own folder is
    try:
        assert State(folder).plain_folder == folder
    finally:
        (folder / "lock").unlink()
        folder.rmdir()


@pytest.mark.parametrize("place", ["file", "file/below", "x" * 300])
def test_what_can_not_be_a_state_folder_is_told_with_its_name(tmp_path: Path, place: str) -> None:
    """A STATE_DIR that was a file used to end in a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(NotUsable, match=place):
        State(tmp_path / place)


def test_downloads_go_into_the_project_where_there_is_no_home_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("local.state.PROJECT", tmp_path / "project")
    assert cache_folder() == tmp_path / "project/.cache/ordersvc"
    monkeypatch.setattr("local.state.PROJECT", tmp_path / "file")
    with pytest.raises(NotUsable, match="none of these folders"):
        cache_folder()


def test_what_needs_a_plain_path_is_kept_elsewhere_for_a_home_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mi caché"))
    folder = plain_cache_folder()
    assert str(folder).isascii()
    assert " " not in str(folder)
    assert folder.stat().st_uid == os.geteuid()
    assert not folder.stat().st_mode & 0o022


def test_ports_are_looked_at_on_addresses_of_both_families() -> None:
    """With HTTP_HOST=::1 every port used to be taken."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listening:
            listening.bind((host, 0))
            listening.listen()
            port = listening.getsockname()[1]
            assert not is_free(port, host)
        assert is_free(port, host)


@pytest.mark.parametrize("host", ["256.256.256.256", "10.99.99.99", "2001:db8::1"])
def test_a_host_that_is_not_this_machine_is_told_from_a_port_that_is_taken(host: str) -> None:
    fault = listening_fault(18_999, host)
    assert fault is not None
    assert fault.errno != errno.EADDRINUSE


def test_a_path_that_is_too_deep_is_no_state_folder(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match="can't be used"):
        State(tmp_path / "/".join("d" * 2000))
