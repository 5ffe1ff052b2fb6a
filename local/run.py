"""Behind ``./dev run``: starts everything on this machine, keeps it running, and ends it without a trace.

    python -m local.run        settings by the environment; a URL that is given is used, the rest is started here

The state folder keeps data, ports and secrets between runs. Each server and process is a child that the kernel kills when this one
ends, whatever ends it; one that dies meanwhile is started again, ever more slowly, and the log says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from local.children import Child, answers
from local.errors import LocalError, NotReady, Taken
from local.ray_node import PROJECT, RayNode
from local.servers import PostgreSQL, RabbitMQ, Valkey
from local.state import State, is_free, write_private
from local.tokens import make_token
from settings import Settings, settings

START_LIMIT_S = 90.0
STOP_LIMIT_S = 10.0
WATCH_EVERY_S = 0.25
RESTART_WAIT_FIRST_S = 0.25
RESTART_WAIT_MAX_S = 10.0
STEADY_AFTER_S = 30.0
ANSWER_LIMIT_S = 3.0
DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "http": 80, "https": 443}


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


class Program:
    """A Python module of the project as a child process."""

    def __init__(self, name: str, arguments: list[str], is_ready: Callable[[Child], Awaitable[bool]], state: State) -> None:
        self.name = name
        self.child: Child | None = None
        self._arguments = arguments
        self._is_ready = is_ready
        self._state = state
        self.environment: dict[str, str] = {}

    async def start(self) -> None:
        """Return when it is ready. Raises ``NotReady``."""
        child = self.child = Child(
            self.name,
            [sys.executable, "-m", *self._arguments],
            log=self._state.folder / f"{self.name}.log",
            environment=self.environment,
            folder=PROJECT,
        )

        async def is_ready() -> bool:
            return await self._is_ready(child)

        await child.until(is_ready, START_LIMIT_S)

    async def stop(self) -> None:
        """Ask it to end, then make it."""
        if self.child is not None:
            await self.child.stop(signal.SIGTERM, STOP_LIMIT_S)


Part = PostgreSQL | Valkey | RabbitMQ | RayNode | Program


class Service:
    """Everything of one ``./dev run``."""

    def __init__(self, state: State, config: Settings) -> None:
        self._state = state
        self._config = config
        self._parts: list[Part] = []
        self._base = dict(os.environ)
        self._started_s = time.monotonic()
        self.stop_wanted = asyncio.Event()

    @property
    def _endpoints_file(self) -> Path:
        return self._state.folder / "endpoints.json"

    async def start(self) -> None:
        """Start everything, print where it is, write endpoints.json. Raises ``LocalError``."""
        self._endpoints_file.unlink(missing_ok=True)
        config = self._config
        if not is_free(config.http_port, config.http_host):
            raise Taken(f"port {config.http_port} of {config.http_host} is taken; set ORDERSVC_HTTP_PORT to another one")
        await self._check_given()
        postgres, valkey, rabbit = PostgreSQL(self._state), Valkey(self._state), RabbitMQ(self._state)
        ray = RayNode(self._state)
        given = {
            "DATABASE_URL": config.database_url.get_secret_value(),
            "REDIS_URL": config.redis_url.get_secret_value(),
            "AMQP_URL": config.amqp_url.get_secret_value(),
            "RAY_ADDRESS": config.ray_address,
        }
        own: dict[str, Part] = {"DATABASE_URL": postgres, "REDIS_URL": valkey, "AMQP_URL": rabbit, "RAY_ADDRESS": ray}
        await self._all(*(self._bring_up(part) for name, part in own.items() if not given[name]))
        self._set("DATABASE_URL", given["DATABASE_URL"] or postgres.url)
        self._set("REDIS_URL", given["REDIS_URL"] or valkey.url)
        self._set("AMQP_URL", given["AMQP_URL"] or rabbit.url)
        self._set("RAY_ADDRESS", given["RAY_ADDRESS"] or ray.address)
        if not given["RAY_ADDRESS"]:
            self._base.update(ray.environment())
        self._set("JWT_KEY", config.jwt_key.get_secret_value() or self._state.secret("jwt-key"))
        self._set("STATE_DIR", str(self._state.folder))
        self._base["PYTHONPATH"] = str(PROJECT)

        sandbox_port = self._state.port("sandbox")
        sandbox = f"http://127.0.0.1:{sandbox_port}"
        partners = {name: getattr(config, f"{name}_url") for name in ("product", "payment", "user")}
        for name, url in partners.items():
            self._set(f"{name.upper()}_URL", url or f"{sandbox}/{name}")
        side_by_side = [self._migrate()]
        if not all(partners.values()):
            side_by_side.append(self._bring_up(self._program("sandbox", ["local.sandbox", "--port", str(sandbox_port)], _port(sandbox_port))))
        await self._all(*side_by_side)
        actors = self._program("actors", ["actors.runtime"], _said_ready)
        await self._bring_up(actors)
        api_url = f"http://{config.http_host}:{config.http_port}"
        await self._bring_up(self._program("api", ["api"], _healthy(f"{api_url}/health/ready")))
        self._announce(api_url, ray)

    def _announce(self, api_url: str, ray: RayNode) -> None:
        value = self._base.__getitem__
        token = make_token(
            value("ORDERSVC_JWT_KEY"),
            scope="admin",
            ttl_s=30 * 86_400,
            issuer=self._config.jwt_issuer,
            audience=self._config.jwt_audience,
        )
        endpoints = {
            "api": api_url,
            "amqp": value("ORDERSVC_AMQP_URL"),
            "database": value("ORDERSVC_DATABASE_URL"),
            "redis": value("ORDERSVC_REDIS_URL"),
            "ray_dashboard": ray.dashboard_url if not self._config.ray_address else "",
            "ray_address": value("ORDERSVC_RAY_ADDRESS"),
            "product": value("ORDERSVC_PRODUCT_URL"),
            "payment": value("ORDERSVC_PAYMENT_URL"),
            "user": value("ORDERSVC_USER_URL"),
            "token": token,
            "ray_token_file": str(ray.token_file) if not self._config.ray_address else "",
        }
        write_private(self._endpoints_file, json.dumps(endpoints, indent=1))
        say(f"\nOrderSvc is ready after {time.monotonic() - self._started_s:.1f} s\n")
        say(f"  API            {api_url}        (documents: {api_url}/docs)")
        say(f"  Ray dashboard  {endpoints['ray_dashboard']}   (its token: {endpoints['ray_token_file']})")
        say(f"  everything     {self._endpoints_file}   (URLs with passwords, and an admin token)")
        say("  a token        TOKEN=$(./dev token --scope admin)\n\nCtrl-C stops it all; the data stays.\n")

    async def keep(self) -> None:
        """Start again whatever dies, until the stop is wanted."""
        await asyncio.gather(*(self._keep(part) for part in self._parts))

    async def _keep(self, part: Part) -> None:
        wait_s = RESTART_WAIT_FIRST_S
        since_s = time.monotonic()
        while not await self._stop_within(WATCH_EVERY_S):
            if part.child is None or not part.child.has_ended():
                continue
            if time.monotonic() - since_s > STEADY_AFTER_S:
                wait_s = RESTART_WAIT_FIRST_S
            say(f"{part.name} ended (exit code {part.child.process.returncode}); it is started again in {wait_s:.2f} s")
            if await self._stop_within(wait_s):
                return
            wait_s = min(wait_s * 2, RESTART_WAIT_MAX_S)
            since_s = time.monotonic()
            try:
                await part.start()
                say(f"{part.name} is back after {time.monotonic() - since_s:.1f} s")
            except LocalError as error:
                say(f"{part.name} did not come back: {error}")

    async def _stop_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.stop_wanted.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End everything: first what serves others, last what keeps the data."""
        self._endpoints_file.unlink(missing_ok=True)
        programs = [part for part in reversed(self._parts) if isinstance(part, Program)]
        for program in programs:
            await program.stop()
        await asyncio.gather(*(part.stop() for part in self._parts if isinstance(part, RayNode)))
        await asyncio.gather(*(part.stop() for part in self._parts if not isinstance(part, Program | RayNode)))

    def _program(self, name: str, arguments: list[str], is_ready: Callable[[Child], Awaitable[bool]]) -> Program:
        program = Program(name, arguments, is_ready, self._state)
        program.environment = self._base
        return program

    async def _bring_up(self, part: Part) -> None:
        self._parts.append(part)
        began_s = time.monotonic()
        await part.start()
        say(f"  {part.name:<12} {time.monotonic() - began_s:5.1f} s")

    async def _migrate(self) -> None:
        from storage.migrate import migrate

        await migrate(self._base["ORDERSVC_DATABASE_URL"])

    def _set(self, name: str, value: str) -> None:
        self._base[f"ORDERSVC_{name}"] = value

    async def _all(self, *work: Awaitable[None]) -> None:
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _check_given(self) -> None:
        """Raise ``NotReady`` for the first URL of the environment behind which nobody answers."""
        config = self._config
        given = {
            "DATABASE_URL": config.database_url.get_secret_value(),
            "AMQP_URL": config.amqp_url.get_secret_value(),
            "REDIS_URL": config.redis_url.get_secret_value(),
            "PRODUCT_URL": config.product_url,
            "PAYMENT_URL": config.payment_url,
            "USER_URL": config.user_url,
            "RAY_ADDRESS": f"ray://{config.ray_address}" if config.ray_address else "",
        }
        for name, url in given.items():
            if not url:
                continue
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
            if await answers(host, port, limit_s=ANSWER_LIMIT_S) is None:
                raise NotReady(f"ORDERSVC_{name} is set, but nothing answers at {host}:{port}")


def _port(port: int) -> Callable[[Child], Awaitable[bool]]:
    async def is_ready(_child: Child) -> bool:
        return await answers("127.0.0.1", port) is not None

    return is_ready


async def _said_ready(child: Child) -> bool:
    return "ready" in child.said().splitlines()


def _healthy(url: str) -> Callable[[Child], Awaitable[bool]]:
    def ask() -> bool:
        try:
            with urlopen(url, timeout=ANSWER_LIMIT_S) as answer:  # noqa: S310 - our own address
                return bool(answer.status == 200)  # noqa: PLR2004 - OK
        except OSError:
            return False

    async def is_ready(_child: Child) -> bool:
        return await asyncio.to_thread(ask)

    return is_ready


async def main() -> int:
    """Run until asked to stop; gives the exit code."""
    config = settings()
    state = State(config.state_dir)
    state.lock()
    service = Service(state, config)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, service.stop_wanted.set)
    try:
        starting = asyncio.ensure_future(service.start())
        stopping = asyncio.ensure_future(service.stop_wanted.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return 0
        starting.result()
        await service.keep()
        say("stopping …")
    finally:
        await service.stop()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except LocalError as failure:
        print(f"./dev run: {failure}", file=sys.stderr)
        sys.exit(2)
