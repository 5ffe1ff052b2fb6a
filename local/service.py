"""Everything of one `./dev run`: started side by side as far as one needs the other, watched, and stopped in order.

What it starts is private to its state folder. It knows what needs what, and nothing of what the parts do.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from local.children import Child
from local.endpoints import announcement, endpoints, remove_endpoints, write_endpoints
from local.errors import LocalError, NotUsable, Taken
from local.given import check_given, given_urls
from local.postgres import PostgreSQL
from local.program import Program, is_healthy, listens, said_ready
from local.rabbitmq import RabbitMQ
from local.ray_node import RayNode
from local.speech import say
from local.state import PROJECT, State, listening_fault, write_private
from local.tokens import make_token
from local.valkey import Valkey
from settings import SECRETS, Settings
from storage.errors import MigrationFailed
from storage.migrate import migrate

WATCH_EVERY_S = 0.25
RESTART_WAIT_FIRST_S = 0.25
RESTART_WAIT_MAX_S = 10.0
STEADY_AFTER_S = 30.0
DASHBOARD_LIMIT_S = 60.0
POLL_EVERY_S = 0.05
TOKEN_TTL_S = 30 * 86_400


class Part(Protocol):
    """A server or program that is started, watched and stopped."""

    name: str
    child: Child | None

    async def start(self) -> None:
        """Return when it is ready. Raises ``LocalError``."""

    async def stop(self) -> None:
        """End it, whether or not it is running."""


class LocalService:
    """The servers, the sandbox, Ray, the actors and the API, with one environment for all of the service's processes. No secret is in
    it: each is in a file of its own, which it names.
    """

    def __init__(self, state: State, config: Settings) -> None:
        self._state = state
        self._config = config
        self._given = given_urls(config)
        secret = {f"ORDERSVC_{name.upper()}" for name in SECRETS}
        own = {name: value for name, value in os.environ.items() if name.upper() not in secret}
        self._environment = {**own, "PYTHONPATH": str(PROJECT)}
        self._secrets: dict[str, str] = {}
        self._postgres = PostgreSQL(state)
        self._valkey = Valkey(state)
        self._rabbitmq = RabbitMQ(state)
        self._ray = RayNode(state, self._environment)
        sandbox_port = state.port("sandbox")
        self._sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self._sandbox_environment: dict[str, str] = {}  # filled before its start
        arguments = ["local.sandbox", "--port", str(sandbox_port)]
        self._sandbox = self._program("sandbox", arguments, listens(sandbox_port), self._sandbox_environment)
        self._api_url = f"http://{_host_of(config.http_host)}:{config.http_port}"
        self._actors = self._program("actors", ["actors.runtime"], said_ready)
        self._api = self._program("api", ["api"], is_healthy(f"{self._api_url}/health/ready"))
        self._running: list[Part] = []

    async def start(self) -> None:
        """Start everything, then write where it is. Raises ``LocalError``."""
        began_s = time.monotonic()
        remove_endpoints(self._state.folder)
        self._check_port()
        await check_given(self._given)
        self._settle_own()
        await _side_by_side(self._start_database(), self._start_redis(), self._start_messages(), self._start_ray())
        await _side_by_side(self._bring_up(self._actors), self._bring_up(self._api), self._dashboard())
        found = endpoints(
            {**self._environment, **{f"ORDERSVC_{name}": value for name, value in self._secrets.items()}},
            api=self._api_url,
            token=self._admin_token(),
            ray_dashboard="" if "RAY_ADDRESS" in self._given else self._ray.dashboard_url,
            ray_token_file="" if "RAY_ADDRESS" in self._given else str(self._ray.token_file),
        )
        write_endpoints(self._state.folder, found)
        say(announcement(found, self._state.folder, time.monotonic() - began_s))

    async def keep(self) -> None:
        """Start again whatever dies, for as long as this is not cancelled."""
        await asyncio.gather(*(self._keep(part) for part in self._running))

    def _check_port(self) -> None:
        host, port = self._config.http_host, self._config.http_port
        fault = listening_fault(port, host)
        if fault is None:
            return
        if fault.errno == errno.EADDRINUSE:
            raise Taken(
                f"port {port} on {host} is taken: stop what listens there, or set ORDERSVC_HTTP_PORT to another one"
            )
        raise NotUsable(
            f"nothing can listen on port {port} of {host} ({fault.strerror}): set ORDERSVC_HTTP_HOST to an address of this "
            "machine, and ORDERSVC_HTTP_PORT to a port that you may use"
        )

    async def stop(self) -> None:
        """End everything that was started: first what serves others, last what keeps the data."""
        remove_endpoints(self._state.folder)
        for together in ((self._api,), (self._actors, self._sandbox), (self._ray,)):
            await asyncio.gather(*(part.stop() for part in together))
        await asyncio.gather(self._postgres.stop(), self._valkey.stop(), self._rabbitmq.stop())
        self._state.clear_elsewhere()

    def _settle_own(self) -> None:
        """The settings that the service's processes get besides the ones given."""
        self._set("STATE_DIR", str(self._state.folder))
        for name in SECRETS:
            given = getattr(self._config, name).get_secret_value()
            if os.environ.get(f"ORDERSVC_{name.upper()}_FILE"):
                self._secrets[name.upper()] = given
                continue
            file = self._secret_file(name.upper())
            file.unlink(missing_ok=True)  # of an earlier start
            self._set(f"{name.upper()}_FILE", str(file))
            if given:
                self._set_secret(name.upper(), given)
        for name in ("JWT_KEY", "LINK_SECRET"):
            if not self._secrets.get(name):
                self._set_secret(name, self._state.secret(name.lower().replace("_", "-")))
        for partner in ("PRODUCT", "PAYMENT", "USER"):
            self._set(f"{partner}_URL", self._given.get(f"{partner}_URL", f"{self._sandbox_url}/{partner.lower()}"))

    async def _start_database(self) -> None:
        if "DATABASE_URL" not in self._given:
            await self._bring_up(self._postgres)
            self._set_secret("DATABASE_URL", self._postgres.url)
        try:
            await migrate(self._secrets["DATABASE_URL"])
        except MigrationFailed as error:
            raise LocalError(str(error)) from error

    async def _start_redis(self) -> None:
        if "REDIS_URL" not in self._given:
            await self._bring_up(self._valkey)
            self._set_secret("REDIS_URL", self._valkey.url)

    async def _start_messages(self) -> None:
        """RabbitMQ, then the sandbox, which publishes to it."""
        if "AMQP_URL" not in self._given:
            await self._bring_up(self._rabbitmq)
            self._set_secret("AMQP_URL", self._rabbitmq.url)
        if not {"PRODUCT_URL", "PAYMENT_URL", "USER_URL"} <= self._given.keys():
            self._sandbox_environment.update(sandbox_environment(self._environment))
            await self._bring_up(self._sandbox)

    async def _start_ray(self) -> None:
        if "RAY_ADDRESS" not in self._given:
            await self._bring_up(self._ray)
            self._set("RAY_ADDRESS", self._ray.address)
            self._environment.update(self._ray.environment())

    async def _dashboard(self) -> None:
        """Wait for Ray's dashboard; the service does without it."""
        deadline_s = time.monotonic() + DASHBOARD_LIMIT_S
        while "RAY_ADDRESS" not in self._given and not await self._ray.dashboard_is_ready():
            if time.monotonic() > deadline_s:
                say("  Ray's dashboard did not start; the service does without")
                return
            await asyncio.sleep(POLL_EVERY_S)

    async def _bring_up(self, part: Part) -> None:
        self._running.append(part)
        began_s = time.monotonic()
        await part.start()
        say(f"  {part.name:<10} {time.monotonic() - began_s:5.1f} s")

    async def _keep(self, part: Part) -> None:
        wait_s = RESTART_WAIT_FIRST_S
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if part.child is None or not part.child.has_ended():
                if part.child is not None:
                    part.child.trim_log()
                continue
            if time.monotonic() - began_s > STEADY_AFTER_S:
                wait_s = RESTART_WAIT_FIRST_S
            say(f"{part.name} ended (exit code {part.child.process.returncode}); starting it again in {wait_s:.2f} s")
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RESTART_WAIT_MAX_S)
            began_s = time.monotonic()
            await self._start_again(part)

    async def _start_again(self, part: Part) -> None:
        began_s = time.monotonic()
        try:
            await part.start()
        except LocalError as error:
            say(f"{part.name} did not come back: {error}")
            return
        say(f"{part.name} is back after {time.monotonic() - began_s:.1f} s")
        if part is self._ray:
            await self._actors.stop()  # attached to the old one, it would take a minute to notice

    def _program(
        self, name: str, arguments: list[str], is_ready: Any, environment: Mapping[str, str] | None = None
    ) -> Program:
        if environment is None:
            environment = self._environment
        return Program(name, arguments, is_ready, state=self._state, environment=environment)

    def _admin_token(self) -> str:
        return make_token(
            self._secrets["JWT_KEY"],
            scope="admin",
            ttl_s=TOKEN_TTL_S,
            issuer=self._config.jwt_issuer,
            audience=self._config.jwt_audience,
        )

    def _set(self, name: str, value: str) -> None:
        self._environment[f"ORDERSVC_{name}"] = value

    def _set_secret(self, name: str, value: str) -> None:
        """Put the value where the variable ``ORDERSVC_<name>_FILE`` says that it is."""
        self._secrets[name] = value
        write_private(self._secret_file(name), value)

    def _secret_file(self, name: str) -> Path:
        return self._state.subfolder("secrets") / name.lower()


def sandbox_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The service's environment as partners may see it: of the secrets, RabbitMQ's alone.

    The files of the others need not be there yet when the sandbox starts, beside the servers.
    """
    others = {f"ORDERSVC_{name.upper()}_FILE" for name in SECRETS if name != "amqp_url"}
    return {name: value for name, value in environment.items() if name not in others}


def _host_of(listened: str) -> str:
    """The host in a URL for who listens there; who listens everywhere is found on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listened, listened)  # noqa: S104 -- compared, not bound
    return f"[{host}]" if ":" in host else host


async def _side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it at once. Raises the first error as soon as it happens; the rest is then cancelled."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
