"""Slices: the fixed split of all orders into 1,024 parts, stored in each row and never changed; who owns a slice may
change.
"""

from __future__ import annotations

from zlib import crc32

SLICES = 1024


def slice_of(order_id: str) -> int:
    """Give the slice, 0..1023, of an order id; the same for ever and on every machine."""
    return crc32(order_id.encode()) & (SLICES - 1)
