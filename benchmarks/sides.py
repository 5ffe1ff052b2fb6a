"""A service that is measured beside another one: each alone, on servers and partners of its own that are the same for both.

PostgreSQL, RabbitMQ, Valkey and the partners are this project's, started afresh in a temporary folder for each turn. The
service is told by its environment where they are, and counts as ready when ``GET /health/ready`` is answered with 200.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Group, group_of
from benchmarks.spending import Tree
from local.children import Child
from local.program import Program, is_healthy, listens
from local.servers import Servers
from local.state import PROJECT, State
from local.tokens import make_token

# It may have to make its environment first.
START_LIMIT_S = 600.0
STOP_LIMIT_S = 60.0
ONE_PART = "service"
PARTNERS = ("PRODUCT", "PAYMENT", "USER")


@dataclass(frozen=True, slots=True)
class Side:
    """A checkout of this project in ``folder``; where a ``command`` is given, any service of the same contract that it starts there.

    A checkout takes ``ORDERSVC_DATABASE_URL`` and so on from its environment; a command the same without the prefix:
    ``DATABASE_URL, AMQP_URL, REDIS_URL, PRODUCT_URL, PAYMENT_URL, USER_URL, JWT_KEY`` (HS256), ``HOST``, ``PORT``.
    """

    name: str
    folder: Path
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSide:
    """Where it is, an admin's token, and the processes of all that belongs to it."""

    api: str
    token: str
    database: str
    amqp: str
    trees: tuple[Tree, ...]


@contextlib.asynccontextmanager
async def alone(side: Side) -> AsyncIterator[RunningSide]:
    """Start servers, partners and the service; end all of it afterwards. Raises ``LocalError``. From the main thread only."""
    with tempfile.TemporaryDirectory(prefix="ordersvc-bench-") as name:
        folder = Path(name)
        servers = Servers(folder / "servers")
        async with contextlib.AsyncExitStack() as stack:
            await servers.start()
            stack.push_async_callback(servers.stop)
            state = State(folder / "servers")
            partners_port = state.port("sandbox")
            partners = _partners(state, servers, partners_port)
            stack.push_async_callback(partners.stop)
            await partners.start()
            key, port = secrets.token_urlsafe(32), state.port("api")
            urls = {
                "DATABASE_URL": servers.postgres.url,
                "AMQP_URL": servers.rabbitmq.url,
                "REDIS_URL": servers.valkey.url,
                **{f"{one}_URL": f"http://127.0.0.1:{partners_port}/{one.lower()}" for one in PARTNERS},
                "JWT_KEY": key,
            }
            environment = environment_of(side, urls, port, folder / "service")
            command = side.command or (str(side.folder / "dev"), "run")
            log = folder / "service.log"
            service = Child(side.name, command, log=log, environment=environment, folder=side.folder)
            stack.push_async_callback(service.stop, signal.SIGTERM, STOP_LIMIT_S)
            api = f"http://127.0.0.1:{port}"
            is_ready = is_healthy(f"{api}/health/ready")
            await service.until(lambda: is_ready(service), START_LIMIT_S)
            yield RunningSide(
                api=api,
                token=make_token(key, scope="admin"),
                database=servers.postgres.url,
                amqp=servers.rabbitmq.url,
                trees=(
                    Tree(service.pid, (lambda _: ONE_PART) if side.command else group_of),
                    _tree(servers.postgres.child, Group.POSTGRES),
                    _tree(servers.rabbitmq.child, Group.RABBITMQ),
                    _tree(servers.valkey.child, Group.REDIS),
                    _tree(partners.child, Group.SANDBOX),
                ),
            )


def environment_of(side: Side, urls: dict[str, str], port: int, state: Path) -> dict[str, str]:
    """The environment of a side's service: ours, and where everything is."""
    if side.command:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**inherited, **urls, "HOST": "127.0.0.1", "PORT": str(port)}
    wanted = {
        **urls,
        "STATE_DIR": str(state),
        "HTTP_PORT": str(port),
        "RATE_LIMIT_PER_MIN": "0",
        "LOG_LEVEL": "WARNING",
    }
    return {**os.environ, **{f"ORDERSVC_{name}": value for name, value in wanted.items()}}


def _partners(state: State, servers: Servers, port: int) -> Program:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "ORDERSVC_STATE_DIR": str(state.folder),
        "ORDERSVC_AMQP_URL": servers.rabbitmq.url,
    }
    arguments = ["local.sandbox", "--port", str(port)]
    return Program("sandbox", arguments, listens(port), state=state, environment=environment)


def _tree(child: Child | None, group: Group) -> Tree:
    assert child is not None
    return Tree(child.pid, lambda _: group)
