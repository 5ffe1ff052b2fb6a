"""What the orders of one shard share, and how much they may take: collaborators and bounds, handed in once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.order.commit_loop import CommitCounts, CommitPolicy, CommitStore
from actors.order.failpoints import Failpoint
from actors.shard.database_clock import DatabaseClock
from actors.shard.order_number_blocks import OrderNumberBlocks
from actors.shard.partner_calls import PartnerCalls
from actors.shard.reference_cache import ReferenceCache
from domain.order import Order
from domain.promotions import Promotion
from messaging.publishing.publisher import Outbound
from sagas.decision import OrderRules


class ShardPublisher(Protocol):
    """The part of ``messaging.publishing.publisher.Publisher`` that a shard needs."""

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None: ...
    def forget(self, order_ids: Iterable[str]) -> None: ...
    def leave(self, order_ids: Iterable[str]) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def statistics(self) -> dict[str, float]: ...


class ResidentStore(CommitStore, Protocol):
    """What the orders in memory need of storage besides committing."""

    async def reply(self, order_id: str, message_id: str) -> bytes | None: ...
    async def promotions(self, codes: tuple[str, ...]) -> tuple[Promotion, ...]: ...
    async def set_aside(self, order_id: str, reason: str) -> None: ...
    async def take_up_again(self, order_id: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentLimits:
    """Bounds, unit last."""

    mailbox_max_messages: int = 64
    queue_max_messages: int = 8192
    load_batch_max_orders: int = 256
    resident_max_orders: int = 200_000
    idle_s: float = 300.0
    deadlines_ahead_s: float = 10.0
    passivate_batch_max_orders: int = 5000
    set_aside_retry_s: float = 30.0
    stale_retries_max: int = 3


@dataclass(slots=True, kw_only=True)
class ShardContext:
    """What a shard's orders share."""

    shard: str
    store: ResidentStore
    publisher: ShardPublisher
    calls: PartnerCalls
    clock: DatabaseClock
    reference_cache: ReferenceCache
    order_numbers: OrderNumberBlocks
    rules: OrderRules
    limits: ResidentLimits
    commit_policy: CommitPolicy
    failpoint: Failpoint
    monotonic: Callable[[], float]
    on_committed: Callable[[Order], None] | None = None
    counts: CommitCounts = field(default_factory=CommitCounts)
