from __future__ import annotations

from actors.groups import Layout
from domain.ids import derived_id
from domain.slices import DEDICATED, SLICES, dedicated_group, slice_of


def test_the_slice_of_an_order_never_changes() -> None:
    # It is stored in each row: another value would hide orders from the shard that owns them.
    assert slice_of("0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00") == 787


def test_orders_spread_over_all_slices() -> None:
    counts = [0] * SLICES
    for number in range(20 * SLICES):
        counts[slice_of(derived_id("orders", str(number)))] += 1
    assert min(counts) > 0
    assert max(counts) < 60


def test_the_group_of_one_order_is_told_from_that_of_slices_by_its_first_letters() -> None:
    # It is stored in rows too: owners.grp and orders.dedicated_group.
    order_id = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
    assert dedicated_group(order_id) == f"order-{order_id}"
    assert dedicated_group(order_id).startswith(DEDICATED)
    assert not Layout(4).group_of(order_id).startswith(DEDICATED)
