"""Secrets are in their files and nowhere else: in no table or log of Ray's, no environment, no command line, no other file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.started import Started

pytestmark = pytest.mark.own_service

READ_MAX_BYTES = 64 * 1024 * 1024
# The servers' own: what their programs read their passwords from, and what they keep of them.
SERVERS = ("postgres", "rabbitmq", "valkey", "redis")
ENDPOINTS = "endpoints.json"


def secrets_of(service: Started) -> dict[str, bytes]:
    """The values that are to be seen by nobody, by the names of their settings."""
    folder = service.folder / "secrets"
    found = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(found) == {"database_url", "amqp_url", "redis_url", "jwt_key", "link_secret"}
    passwords = {name: urlsplit(text).password or text for name, text in found.items()}
    return {name: text.encode() for name, text in passwords.items()}


def leaks(content: bytes, secrets: dict[str, bytes]) -> list[str]:
    """Which of the secrets are in there, in whichever way texts are written: one byte a letter, or two."""
    wide = {name: value.decode().encode("utf-16-le") for name, value in secrets.items()}
    return [name for name, value in secrets.items() if value in content or wide[name] in content]


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder that can be read as such."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def test_secrets_are_in_their_files_only(shop: Shop, service: Started) -> None:
    """They were in a pickled argument of every actor: in Ray's tables, and on its disk."""
    shop.create()
    secrets = secrets_of(service)
    own = {service.folder / "secrets", *(service.folder / name for name in SERVERS)}
    allowed = {service.folder / ENDPOINTS, *service.folder.glob("*.secret")}
    searched, found, is_readable = [], [], False
    places = [service.folder]
    with contextlib.suppress(OSError):
        places.append(Path((service.folder / "elsewhere").read_text()))
    for place in places:
        for path in files_below(place):
            if path in allowed or own & set(path.parents):
                continue
            with contextlib.suppress(OSError), path.open("rb") as file:
                content = file.read(READ_MAX_BYTES)
                searched.append(str(path))
                found += [(str(path), name) for name in leaks(content, secrets)]
                is_readable = is_readable or ("ray-tables" in str(path) and b"order-shard-0" in content)
    assert is_readable, "in Ray's tables is what an actor was made with"
    assert [path for path in searched if path.endswith(".log") or "worker-" in path], "logs were looked at"
    assert found == []


def test_secrets_are_in_no_environment_and_no_command_line(service: Started) -> None:
    secrets = secrets_of(service)
    looked_at = []
    for pid in service.processes():
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                content = Path(f"/proc/{pid}/{name}").read_bytes()
                looked_at.append((pid, name))
                assert leaks(content, secrets) == [], (pid, name)
    assert len({pid for pid, _ in looked_at}) > len(service.find_all("ray::"))
    assert service.find_all("ray::OrderShard")


def test_the_files_of_secrets_are_their_owner_s_alone(service: Started) -> None:
    folder = service.folder / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert {file.stat().st_uid for file in folder.iterdir()} == {os.geteuid()}
