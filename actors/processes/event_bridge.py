"""The process that turns RabbitMQ messages into messages to orders."""

from __future__ import annotations

from contextlib import AsyncExitStack

from actors.processes import composition
from actors.processes.event_delivery import Inbound
from actors.processes.process import Process
from actors.rpc.clients import Peers
from messaging.consumer import EventBridge as Bridge
from storage.reads.reference_data import CacheInvalidation, ReferenceCopies


class EventBridge(Process):
    """Turns RabbitMQ messages into messages to orders."""

    kind = "event-bridge"
    _bridge: Bridge
    _copies: ReferenceCopies

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        opened.push_async_callback(store.close)
        router = await composition.open_router(config, peers, store)
        opened.push_async_callback(router.stop)
        self._copies = composition.reference_copies_of(config)
        invalidation = CacheInvalidation(store.database, self._copies)
        inbound = Inbound(router, peers, invalidation)
        self._bridge = composition.make_bridge(config, inbound.deliver)
        await self._bridge.start()

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        return {
            **composition.bridge_figures(self._bridge),
            "redis_failures_total": self._copies.figures()["redis_failures_total"],
        }
