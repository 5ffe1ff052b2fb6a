"""The process that turns RabbitMQ messages into messages to orders."""

from __future__ import annotations

from contextlib import AsyncExitStack

from actors import composition
from actors.groups import Layout, bulkhead_of
from actors.inbound import Inbound
from actors.peers import Peers
from actors.processes.process import Process
from domain.calls import Partner
from messaging.bridge import EventBridge as Bridge
from storage.copystore import CopyNews


class EventBridge(Process):
    """Turns RabbitMQ messages into messages to orders."""

    _bridge: Bridge
    _copies: CopyNews

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        opened.push_async_callback(store.close)
        router = await composition.open_router(config, peers, store)
        opened.push_async_callback(router.stop)
        for partner in (Partner.PRODUCT, Partner.USER):
            peers.get(bulkhead_of(partner))
        self._copies = composition.copy_news_of(config, store)
        inbound = Inbound(router, peers, Layout(config.shards), self._copies)
        self._bridge = composition.make_bridge(config, inbound.deliver)
        await self._bridge.start()

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        return {
            **composition.bridge_figures(self._bridge),
            "redis_failures_total": float(self._copies.redis_failures),
        }
