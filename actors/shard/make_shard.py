"""Puts a shard together: the one that runs, the one that is simulated and the one that is measured are this one.

What differs is handed in: the store, the other processes, the publisher, who performs calls to partners, and the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from actors.order.failpoints import Failpoint
from actors.rpc.process_names import bulkhead_of
from actors.shard.context import ShardPublisher
from actors.shard.partner_calls import Perform
from actors.shard.shard import Shard, ShardClients, ShardPolicy, ShardStore
from domain.calls import Partner
from messaging.publishing.publisher import OnConfirmed


class MakePublisher(Protocol):
    """Makes the publisher of a shard; ``on_confirmed`` gets the order and sequence of events that the broker has confirmed."""

    def __call__(self, *, on_confirmed: OnConfirmed) -> ShardPublisher: ...


def make_shard(
    process: str,
    name: str,
    *,
    store: ShardStore,
    clients: ShardClients,
    policy: ShardPolicy,
    make_publisher: MakePublisher,
    perform: Perform | None = None,
    failpoint: Failpoint | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Shard:
    """Make a shard that is yet to be started.

    ``process`` is the id of this incarnation in the table ``processes``, ``name`` what it is called there. Without ``perform``
    a call goes to the process of its partner's bulkhead.
    """
    passed = failpoint or Failpoint(None)

    async def mark(events: list[tuple[str, int]]) -> None:
        passed.hit("before_mark")
        await store.mark_published(events)
        passed.hit("after_mark")

    def perform_elsewhere(partner: Partner, call: bytes) -> asyncio.Future[bool]:
        performed = clients.get(bulkhead_of(partner)).send("perform", call)
        performed.add_done_callback(lambda done: None if done.exception() else passed.hit("after_call"))
        return performed

    return Shard(
        process,
        name,
        store=store,
        clients=clients,
        policy=policy,
        publisher=make_publisher(on_confirmed=mark),
        perform=perform or perform_elsewhere,
        failpoint=passed,
        monotonic=monotonic,
    )
