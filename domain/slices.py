"""Slices and partitions: to which part of all orders an order belongs.

The slice of an order, one of 1,024, is stored in its row and never changes. A partition is what one shard owns: all slices with one
remainder, or a single order. The number of partitions is written into the database by its migrations.
"""

from __future__ import annotations

from zlib import crc32

SLICES = 1024
PARTITIONS = 64
DEDICATED = "order-"


def slice_of(order_id: str) -> int:
    """Give the slice, 0..1023, of an order id; the same for ever and on every machine."""
    return crc32(order_id.encode()) & (SLICES - 1)


def partition_of(order_id: str) -> str:
    """Give the partition of an order that has none to itself."""
    return str(slice_of(order_id) % PARTITIONS)


def dedicated_partition(order_id: str) -> str:
    """Give the partition that has this order and no other. The process of such an order has the same name."""
    return DEDICATED + order_id


def slices_of(partitions: frozenset[str]) -> list[int]:
    """Give the slices of partitions; those of one order have none."""
    return [k for name in partitions if not name.startswith(DEDICATED) for k in range(int(name), SLICES, PARTITIONS)]
