"""What processes are called, which group an order belongs to, and where a group is at home: arithmetic on names, no state.

``slices-<k>-of-<n>``: the orders whose slice leaves ``k`` when divided by ``n``, at home in ``order-shard-<k>``.
``order-<id>``: one order with a process to itself, named like the group.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.calls import Partner
from domain.slices import DEDICATED, slice_of

BULKHEAD = "bulkhead-"
SLICES_OF_SHARD = "slices-"


def bulkhead_of(partner: Partner) -> str:
    """The name of the process that calls a partner."""
    return BULKHEAD + partner.value


@dataclass(frozen=True, slots=True)
class Layout:
    """How many shards share the slices."""

    shards: int

    def group_of(self, order_id: str) -> str:
        """The group of an order that has no process of its own."""
        return f"slices-{slice_of(order_id) % self.shards}-of-{self.shards}"

    def home_of(self, group: str) -> str:
        """The name of the process where a group is at home."""
        if group.startswith(SLICES_OF_SHARD):
            return f"order-shard-{group.split('-')[1]}"
        return group

    def shard_names(self) -> list[str]:
        """All ordinary shards, in the fixed order in which they stand in for each other."""
        return [f"order-shard-{k}" for k in range(self.shards)]

    def stand_ins(self, group: str) -> list[str]:
        """Who may host a group while its home is gone, first choice first."""
        names = self.shard_names()
        if group.startswith(SLICES_OF_SHARD):
            first = int(group.split("-")[1]) + 1
        else:
            first = slice_of(group.removeprefix(DEDICATED)) % self.shards
        turned = names[first % self.shards :] + names[: first % self.shards]
        home = self.home_of(group)
        return [name for name in turned if name != home]


def residue(group: str) -> tuple[int, int] | None:
    """``(k, n)`` of a slices group, or None for a dedicated one."""
    if not group.startswith(SLICES_OF_SHARD):
        return None
    _, k, _, n = group.split("-")
    return int(k), int(n)
