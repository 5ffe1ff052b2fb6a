"""The process that hosts order actors: those of its slices, or a single one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from actors.order.failpoints import Failpoint
from actors.processes import composition
from actors.processes.process import Process
from actors.rpc.clients import ProcessClients
from actors.rpc.process_names import bulkhead_of
from actors.rpc.server import Methods
from actors.shard.make_shard import make_shard
from actors.shard.shard import Shard
from domain.calls import Partner
from messaging.publishing.publisher import Publisher, PublisherLimits
from storage.processes import ProcessState
from storage.writes.order_store import OrderStore


class OrderShard(Process):
    """Hosts order actors: those of its slices (``order-shard-<k>``), or a single one (``order-<id>``)."""

    kind = "shard"
    _shard: Shard

    async def _compose(self, clients: ProcessClients, opened: AsyncExitStack) -> None:
        config = self.config
        store = await OrderStore.open(
            config.database_url.get_secret_value(),
            application_name=self.name,
            limits=composition.pool_limits_of(config, config.database_pool_max_connections),
        )
        opened.push_async_callback(store.close)
        self._shard = make_shard(
            self.id,
            self.name,
            store=store,
            clients=clients,
            policy=composition.shard_policy_of(config),
            make_publisher=partial(
                Publisher,
                config.amqp_url.get_secret_value(),
                name=self.name,
                limits=config.policy(PublisherLimits, "publisher_"),
            ),
            failpoint=Failpoint(Path(config.failpoints_dir) if config.failpoints_dir else None),
        )
        for partner in Partner:
            clients.get(bulkhead_of(partner))
        opened.push_async_callback(self._shard.stop)
        await self._shard.start()

    def _state(self) -> ProcessState:
        return composition.roles_of(self.config).get(self.name, ProcessState.SERVING)

    def _started(self) -> None:
        self._shard.partitions.recheck_soon()

    def _methods(self) -> Methods:
        return {**super()._methods(), **self._shard.methods()}

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        return self._shard.statistics()
