"""What processes are called.

``order-shard-<k>``: a shard. ``order-<id>``: the shard of one order, named like its partition. ``bulkhead-<partner>``.
"""

from __future__ import annotations

from domain.calls import Partner

BULKHEAD = "bulkhead-"
SHARD = "order-shard-"
SUPERVISOR = "supervisor"
BRIDGE = "event-bridge"


def bulkhead_of(partner: Partner) -> str:
    """The name of the process that calls a partner."""
    return BULKHEAD + partner.value


def shard_names(count: int) -> list[str]:
    """The names of the first ``count`` shards."""
    return [f"{SHARD}{k}" for k in range(count)]
