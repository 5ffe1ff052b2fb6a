from __future__ import annotations

from domain.ids import derived_id
from domain.slices import SLICES, slice_of


def test_the_slice_of_an_order_never_changes() -> None:
    # It is stored in each row: another value would hide orders from the shard that owns them.
    assert slice_of("0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00") == 787


def test_orders_spread_over_all_slices() -> None:
    counts = [0] * SLICES
    for number in range(20 * SLICES):
        counts[slice_of(derived_id("orders", str(number)))] += 1
    assert min(counts) > 0
    assert max(counts) < 60
