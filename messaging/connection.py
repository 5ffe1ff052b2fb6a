"""The connection to RabbitMQ: one that is opened again whenever it is lost, ever more slowly while it can't be had.

It knows nothing of what the connection is used for. It uses aio-pika's plain connection and not its "robust" one, since
a publisher has to know which confirms were lost with a connection, and a consumer which acks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from yarl import URL

from messaging.consuming.decoding import tolerate_any_properties
from supervised import awaited

log = structlog.get_logger()

LOST = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, asyncio.InvalidStateError)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConnectionPolicy:
    """Waits of a connection. A peer that is silent for about three heartbeats counts as lost; the wait between tries
    doubles.
    """

    connect_timeout_s: float = 10.0
    close_timeout_s: float = 3.0
    heartbeat_s: int = 10
    retry_first_s: float = 0.1
    retry_max_s: float = 5.0


class BrokerConnection:
    """One connection at a time, handed to ``use`` for as long as it lasts. ``name`` is shown in RabbitMQ's lists."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        use: Callable[[AbstractConnection], Awaitable[None]],
        policy: BrokerConnectionPolicy | None = None,
    ) -> None:
        self._policy = policy or BrokerConnectionPolicy()
        self._url = URL(url).update_query({"heartbeat": str(self._policy.heartbeat_s), "name": name})
        self._name = name
        self._use = use
        self.is_up = False
        self.connects = 0
        self.failures = 0

    async def run(self) -> None:
        """Keep connected until ``use`` returns by itself, or this is cancelled. What ``use`` raises ends the
        connection only.
        """
        wait_s = self._policy.retry_first_s
        while True:
            connects_before = self.connects
            try:
                await self._once()
            except LOST as error:
                log.warning("amqp_link_lost", link=self._name, error=type(error).__name__, detail=str(error)[:200])
            except Exception:
                log.exception("amqp_link_failed", link=self._name)
            else:
                return
            self.failures += 1
            if self.connects > connects_before:
                wait_s = self._policy.retry_first_s
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, self._policy.retry_max_s)

    async def _once(self) -> None:
        connection = await self._connect()
        closed = connection.transport.connection.closing  # type: ignore[union-attr]
        using = awaited("amqp-use", self._use(connection))
        self.connects += 1
        self.is_up = True
        log.info("amqp_link_up", link=self._name)
        try:
            await asyncio.wait((closed, using), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_up = False
            if not using.done():
                using.cancel()
            # A call that is cancelled while its answer is awaited may go on waiting; the end of the connection ends it.
            await asyncio.wait((using,), timeout=self._policy.close_timeout_s)
            closed.cancel()
            await self._close(connection)
        if using.cancelled():
            raise ConnectionResetError("the connection was closed")
        using.result()

    async def _connect(self) -> AbstractConnection:
        """Connect. A caller that is cancelled half-way waits for the connection and closes it: no other would."""
        tolerate_any_properties()
        connecting = awaited("amqp-connect", aio_pika.connect(self._url, timeout=self._policy.connect_timeout_s))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await asyncio.wait((connecting,), timeout=self._policy.close_timeout_s)
            if not connecting.done():
                connecting.cancel()
            elif not connecting.cancelled() and connecting.exception() is None:
                await self._close(connecting.result())
            raise

    async def _close(self, connection: AbstractConnection) -> None:
        try:
            async with asyncio.timeout(self._policy.close_timeout_s):
                await connection.close()
        except LOST:
            log.info("amqp_link_closed_uncleanly", link=self._name)
