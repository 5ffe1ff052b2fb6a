"""What tests share: real servers, started when a test first asks for them, and for each test a part of them to itself.

`ORDERSVC_TEST_DATABASE_URL`, `ORDERSVC_TEST_AMQP_URL` and `ORDERSVC_TEST_REDIS_URL` name other servers to run against:
the promises tested here hold for any PostgreSQL, RabbitMQ and Redis. A test that is skipped fails the run: one that
does not run proves nothing, and nobody notices.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pytest
import redis

from local.postgres import programs
from local.rabbitmq import RabbitMQ
from local.servers import Servers
from local.valkey import DATABASES
from storage.migrate import migrate
from tests.queues import delete_queues

VHOSTS_AT_ONCE = 16
PROGRAM_LIMIT_S = 60

Answer = TypeVar("Answer")


def run_now(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine from a fixture that is no coroutine, without touching the loop of the tests."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test is a failed one."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and skipping is failing here: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So is a file of tests that skips itself."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, and skipping is failing here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Private PostgreSQL, Redis and RabbitMQ in a temporary folder, for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="ordersvc-test-"))
    private = Servers(folder)
    try:
        run_now(private.start())
        yield private
    finally:
        run_now(private.stop())
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The PostgreSQL in which tests make their databases; its user may make some."""
    given = os.environ.get("ORDERSVC_TEST_DATABASE_URL", "")
    if given:
        return given
    private: Servers = request.getfixturevalue("servers")
    return private.postgres.url


@pytest.fixture(scope="session")
def migrated_database(postgres_url: str) -> Iterator[str]:
    """The name of a database that has all migrations and is only ever copied."""
    name = f"test_template_{secrets.token_hex(4)}"
    _run_postgres_program(postgres_url, "createdb", name)
    run_now(migrate(_with_database(postgres_url, name)))
    yield name
    _run_postgres_program(postgres_url, "dropdb", "--force", name)


@pytest.fixture
def database_url(postgres_url: str, migrated_database: str) -> Iterator[str]:
    """The URL of a database of the test's own, empty but for the migrations."""
    name = f"test_{secrets.token_hex(8)}"
    _run_postgres_program(postgres_url, "createdb", "--template", migrated_database, name)
    yield _with_database(postgres_url, name)
    _run_postgres_program(postgres_url, "dropdb", "--force", name)


class Vhosts:
    """Fresh vhosts of one RabbitMQ, made several at a time."""

    def __init__(self, rabbitmq: RabbitMQ) -> None:
        self._rabbitmq = rabbitmq
        self._unused: deque[str] = deque()

    def take(self) -> str:
        """The name of a vhost that nobody has used."""
        if not self._unused:
            self._unused.extend(f"test-{secrets.token_hex(6)}" for _ in range(VHOSTS_AT_ONCE))
            run_now(self._rabbitmq.add_vhosts(list(self._unused)))
        return self._unused.popleft()

    def url_of(self, name: str) -> str:
        """The AMQP URL of a vhost."""
        return self._rabbitmq.url.removesuffix("/") + "/" + name

    def give_back(self, name: str) -> None:
        """Delete a vhost with all that is in it."""
        run_now(self._rabbitmq.delete_vhost(name))


@pytest.fixture(scope="session")
def vhosts(servers: Servers) -> Vhosts:
    """The vhosts of the private RabbitMQ."""
    return Vhosts(servers.rabbitmq)


@pytest.fixture
def private_amqp_url(vhosts: Vhosts) -> Iterator[str]:
    """The URL of a vhost of the test's own on the private server, for tests that do something to the server itself."""
    name = vhosts.take()
    yield vhosts.url_of(name)
    vhosts.give_back(name)


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a RabbitMQ vhost of the test's own. A server that was given has one: our queues there are deleted."""
    given = os.environ.get("ORDERSVC_TEST_AMQP_URL", "")
    if not given:
        yield request.getfixturevalue("private_amqp_url")
        return
    run_now(delete_queues(given))
    yield given
    run_now(delete_queues(given))


@pytest.fixture(scope="session")
def redis_numbers() -> Iterator[int]:
    """The numbers of Redis databases, one after another; 0 is left alone."""

    def endless() -> Iterator[int]:
        while True:
            yield from range(1, DATABASES)

    return endless()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, redis_numbers: Iterator[int]) -> str:
    """The URL of an empty Redis database of the test's own. Of a server that was given, the database is emptied."""
    given = os.environ.get("ORDERSVC_TEST_REDIS_URL", "")
    if given:
        url = given
    else:
        private: Servers = request.getfixturevalue("servers")
        url = private.valkey.url_of(next(redis_numbers))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _run_postgres_program(url: str, program: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs against the server of a URL; the password goes by the environment."""
    parts = urlsplit(url)
    environment = {
        **os.environ,
        "PGHOST": parts.hostname or "127.0.0.1",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "LD_LIBRARY_PATH": str(programs().parent / "lib"),
    }
    command = [str(programs() / program), *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PROGRAM_LIMIT_S)
