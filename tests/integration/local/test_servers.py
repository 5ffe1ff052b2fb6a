"""The private servers: they let in nobody without the password, listen on loopback, and keep what they were given."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from pathlib import Path

import aio_pika
import asyncpg
import pytest
import redis.asyncio as redis
from aio_pika.exceptions import AMQPConnectionError

from local.children import Child
from local.servers import Servers
from local.state import PORT_FIRST, PORT_LAST

LOOPBACK_HEX = {"0100007F", "00000000000000000000000001000000"}
LISTENING_STATE = "0A"


def without_password(url: str) -> str:
    """The URL with another password in it."""
    before, after = url.rsplit("@", 1)
    return f"{before.rsplit(':', 1)[0]}:wrong@{after}"


def listening_addresses(child: Child) -> set[str]:
    """The addresses, in the kernel's hexadecimal, on which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{child.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(link.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{child.pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTENING_STATE and columns[9] in inodes:
                found.add(columns[1].split(":")[0])
    return found


async def test_postgres_refuses_a_wrong_password(servers: Servers) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(without_password(servers.postgres.url))


async def test_postgres_does_not_run_as_root_and_is_durable(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres.url)
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval(f"show {setting}") == "on"
        assert await connection.fetchval("show password_encryption") == "scram-sha-256"
    finally:
        await connection.close()


async def test_redis_refuses_a_wrong_password(servers: Servers) -> None:
    client = redis.from_url(without_password(servers.valkey.url))
    with pytest.raises(redis.AuthenticationError):
        await client.ping()
    await client.aclose()


async def test_rabbitmq_refuses_a_wrong_password(servers: Servers) -> None:
    with pytest.raises(AMQPConnectionError):
        await aio_pika.connect(without_password(servers.rabbitmq.url))


async def test_all_servers_listen_on_loopback_only(servers: Servers) -> None:
    for server in (servers.postgres, servers.valkey, servers.rabbitmq):
        assert server.child is not None
        addresses = listening_addresses(server.child)
        assert addresses, server.name
        assert addresses <= LOOPBACK_HEX, server.name


async def test_no_secret_is_in_a_command_line(servers: Servers) -> None:
    urls = (servers.postgres.url, servers.valkey.url, servers.rabbitmq.url)
    secrets = {url.rsplit("@", 1)[0].rsplit(":", 1)[1] for url in urls}
    assert len(secrets) == 3
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_text(errors="replace") if entry.name.isdigit() else ""
            assert not [secret for secret in secrets if secret in command]


@pytest.mark.parametrize("name", ["plain", 'los "datos" de O\'Neill, ñandú'])
async def test_servers_keep_addresses_passwords_and_data_over_a_restart(tmp_path: Path, name: str) -> None:
    first = Servers(tmp_path / name)
    await first.start()
    try:
        await _leave_traces(first)
    finally:
        await first.stop()
    for port in (first.postgres.port, first.valkey.port, first.rabbitmq.port):
        assert PORT_FIRST <= port <= PORT_LAST
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    second = Servers(tmp_path / name)
    await second.start()
    try:
        assert second.postgres.url == first.postgres.url
        assert second.valkey.url == first.valkey.url
        assert second.rabbitmq.url == first.rabbitmq.url
        await _find_traces(second)
    finally:
        await second.stop()


async def test_postgres_starts_again_after_being_killed_with_its_pid_file_left_behind(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    await servers.postgres.start()
    try:
        assert servers.postgres.child is not None
        servers.postgres.child.process.kill()
        servers.postgres.child.process.wait(timeout=10)
        pid_file = tmp_path / "postgres/data/postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join(["1", *lines[1:]]) + "\n")  # the number of some other living process
        await servers.postgres.start()
        connection = await asyncpg.connect(servers.postgres.url)
        await connection.close()
    finally:
        await servers.postgres.stop()


async def test_postgres_starts_where_user_namespaces_are_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_program = shutil.which
    monkeypatch.setattr("local.postgres.shutil.which", lambda name: None if name == "unshare" else find_program(name))
    postgres = Servers(tmp_path / "state").postgres
    await postgres.start()
    try:
        assert postgres.child is not None
        user_ids = re.findall(r"^Uid:\s+(\d+)", Path(f"/proc/{postgres.child.pid}/status").read_text(), re.MULTILINE)
        assert user_ids != ["0"]
        assert await postgres.run("psql", "-Atc", "select 1") == "1\n"
    finally:
        await postgres.stop()


async def _leave_traces(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres.url)
    await connection.execute("create table trace (left_at int); insert into trace values (7)")
    await connection.close()
    client = redis.from_url(servers.valkey.url)
    await client.set("trace", "7")
    await client.aclose()
    async with await aio_pika.connect(servers.rabbitmq.url) as broker:
        channel = await broker.channel()
        await channel.declare_queue("trace", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"7", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "trace")


async def _find_traces(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres.url)
    assert await connection.fetchval("select left_at from trace") == 7
    await connection.close()
    client = redis.from_url(servers.valkey.url)
    assert await client.get("trace") == b"7"
    await client.aclose()
    async with await aio_pika.connect(servers.rabbitmq.url) as broker:
        channel = await broker.channel()
        queue = await channel.declare_queue("trace", passive=True)
        assert (await queue.get(timeout=5)).body == b"7"
