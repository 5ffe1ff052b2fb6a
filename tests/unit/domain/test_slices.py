from __future__ import annotations

from domain.ids import derived_id
from domain.slices import DEDICATED, PARTITIONS, SLICES, dedicated_partition, partition_of, slice_of, slices_of


def test_the_slice_of_an_order_never_changes() -> None:
    # It is stored in each row: another value would hide orders from the shard that owns them.
    assert slice_of("0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00") == 787


def test_orders_spread_over_all_slices() -> None:
    counts = [0] * SLICES
    for number in range(20 * SLICES):
        counts[slice_of(derived_id("orders", str(number)))] += 1
    assert min(counts) > 0
    assert max(counts) < 60


def test_the_partition_of_one_order_is_told_from_those_of_slices_by_its_first_letters() -> None:
    # It is stored in rows too: orders.dedicated_group and partitions.partition.
    order_id = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
    assert dedicated_partition(order_id) == f"order-{order_id}"
    assert dedicated_partition(order_id).startswith(DEDICATED)
    assert partition_of(order_id) == str(787 % 64)


def test_each_slice_is_in_one_partition() -> None:
    assert sorted(slices_of(frozenset(map(str, range(PARTITIONS))))) == list(range(SLICES))
    assert slices_of(frozenset(("63", "order-x"))) == list(range(63, SLICES, 64))
