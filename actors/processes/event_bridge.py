"""The process that turns RabbitMQ messages into messages to orders."""

from __future__ import annotations

from contextlib import AsyncExitStack

from actors.processes import composition
from actors.processes.event_delivery import EventDelivery
from actors.processes.process import Process
from actors.rpc.clients import ProcessClients
from messaging.consuming.consumer import Consumer
from storage.reads.reference_data import CacheInvalidation, ReferenceCopies


class EventBridge(Process):
    """Turns RabbitMQ messages into messages to orders."""

    kind = "event-bridge"
    _consumer: Consumer
    _copies: ReferenceCopies

    async def _compose(self, clients: ProcessClients, opened: AsyncExitStack) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        opened.push_async_callback(store.close)
        router = await composition.open_router(config, clients, store)
        opened.push_async_callback(router.stop)
        self._copies = composition.reference_copies_of(config)
        invalidation = CacheInvalidation(store.database, self._copies)
        delivery = EventDelivery(router, clients, invalidation)
        self._consumer = composition.make_consumer(config, delivery.deliver)
        await self._consumer.start()

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        return {
            **composition.consumer_figures(self._consumer),
            "redis_failures_total": self._copies.figures()["redis_failures_total"],
        }
