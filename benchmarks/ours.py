"""Our side of the engine comparison: Ray, shards with instant partners, and the router that the API has.

The saga: create (validated by itself), pay (confirmed and prepared by itself), ship. Six commits once the catalogue is
warm: created, validated, payment asked for, paid and confirmed, prepared, shipped. Clients' commands go through Ray.
Run as ``python -m benchmarks.ours``: Ray reads how it authenticates when it is imported, so its caller decides that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import ray
import structlog
import uvloop

from actors.processes import composition
from actors.processes.hosting import hosted
from actors.processes.ray_actors import NAMESPACE
from actors.routing.router import Router
from actors.rpc.clients import ProcessClients
from benchmarks.engine_shard import EngineShard
from benchmarks.load import Outcome, closed_loop
from benchmarks.program import answer_lines
from benchmarks.traffic import CUSTOMERS, LINES, SKUS
from domain.commands import Actor, ActorType, Body, CreateOrder, Message, NewLine, Pay, Ship
from domain.errors import OrderSvcError
from settings import Settings, settings_of_process
from storage.migrate import migrate
from storage.processes import ProcessState
from storage.shards import Shards
from storage.writes.order_store import OrderStore

OBJECT_STORE_BYTES = 100 * 1024 * 1024
START_TIMEOUT_S = 60.0
STEP_TIMEOUT_S = 30.0
LOOK_EVERY_S = 0.05
STAFF = Actor(ActorType.STAFF, "bench")


def environment() -> dict[str, str]:
    """Give the environment for this program: Ray listens on every interface, so that it has to ask for a token."""
    token = secrets.token_hex(32)
    return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}


def settings_of(dsn: str, shards: int) -> dict[str, str]:
    """Give the settings of this program and of the shards on its Ray; they have neither a broker nor a cache."""
    nobody = "127.0.0.1:9"
    return {
        "ORDERSVC_DATABASE_URL": dsn,
        "ORDERSVC_AMQP_URL": f"amqp://{nobody}",
        "ORDERSVC_REDIS_URL": f"redis://{nobody}",
        "ORDERSVC_LINK_SECRET": secrets.token_hex(32),
        "ORDERSVC_SHARDS": str(shards),
        "ORDERSVC_LOG_LEVEL": "WARNING",
        "ORDERSVC_ACTOR_IDLE_S": "5",
    }


class Ours:
    """The running engine."""

    def __init__(self, router: Router, peers: ProcessClients) -> None:
        self._router = router
        self._peers = peers

    async def run_ours(self, in_flight: int, sagas: int) -> Outcome:
        """Run ``sagas`` whole sagas, ``in_flight`` at a time; one latency a saga."""
        return await closed_loop(self._saga, total=sagas, in_flight=in_flight)

    async def _saga(self, index: int) -> str:
        order_id = str(uuid4())
        lines = tuple(NewLine(SKUS[line % len(SKUS)], 2) for line in range(LINES))
        create = CreateOrder(
            order_id=order_id,
            customer_id=CUSTOMERS[index % len(CUSTOMERS)],
            currency="EUR",
            lines=lines,
            metadata={"channel": "web"},
        )
        try:
            await self._ask(order_id, create)
            await self._router.wait(order_id, "validated", STEP_TIMEOUT_S)
            await self._ask(order_id, Pay("card", "tok_visa"))
            await self._router.wait(order_id, "prepared", STEP_TIMEOUT_S)
            document = await self._ask(order_id, Ship(carrier="Correos", tracking_number="PQ4F6P"))
        except OrderSvcError:
            return ""
        return "saga" if msgspec.json.decode(document)["status"] == "shipped" else ""

    async def _ask(self, order_id: str, body: Body) -> bytes:
        message = Message(
            id=f"{type(body).__name__}-{order_id}", body=body, actor=STAFF, keyed=True, fingerprint="bench"
        )
        return (await self._router.ask(order_id, message)).document

    async def stop(self) -> None:
        """Let go of the shards."""
        await self._router.stop()
        self._peers.stop()


@contextlib.asynccontextmanager
async def ours(dsn: str, shards: int) -> AsyncIterator[Ours]:
    """Start Ray and ``shards`` shards on an empty database; end them afterwards. For a process with ``environment``."""
    await migrate(dsn)
    os.environ.update(settings_of(dsn, shards))
    config = settings_of_process()
    ray.init(
        address="local",
        namespace=NAMESPACE,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        names = [f"order-shard-{index}" for index in range(shards)]
        remote = ray.remote(hosted(EngineShard))
        actors = [
            remote.options(name=name, namespace=NAMESPACE, num_cpus=0, enable_task_events=False).remote(name)
            for name in names
        ]
        async with composition.directory_of(config, "bench") as directory:
            peers = composition.make_clients(config, directory)
            for name in names:
                await asyncio.wait_for(peers.get(name).found.wait(), START_TIMEOUT_S)
            store = await composition.open_router_store(config, "bench")
            await _share_out(config, store)
            router = await composition.open_router(config, peers, store)
            engine = Ours(router, peers)
            try:
                yield engine
            finally:
                await engine.stop()
                del actors
    finally:
        ray.shutdown()


async def _share_out(config: Settings, store: OrderStore) -> None:
    """Tell each shard what it is to do in a service with these settings, and return when those that serve own everything."""
    roles = composition.roles_of(config)
    for name, role in roles.items():
        await Shards(store.database).add(config.cell, name, role)
    while not all(roles.get(owner or "") == ProcessState.SERVING for owner in (await store.owner_names()).values()):
        await asyncio.sleep(LOOK_EVERY_S)


async def main() -> None:
    """Read ``{"dsn", "shards"}``, start, and answer lines."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    start = json.loads(sys.stdin.readline())
    async with ours(start["dsn"], start["shards"]) as engine:
        await answer_lines(engine.run_ours)


if __name__ == "__main__":
    uvloop.run(main())
