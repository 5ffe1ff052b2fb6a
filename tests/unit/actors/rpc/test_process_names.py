"""What processes are called."""

from __future__ import annotations

from actors.rpc.process_names import bulkhead_of, shard_names
from domain.calls import Partner
from domain.slices import dedicated_partition


def test_shards_are_numbered_and_bulkheads_named_after_their_partner() -> None:
    assert shard_names(2) == ["order-shard-0", "order-shard-1"]
    assert bulkhead_of(Partner.PAYMENT) == "bulkhead-payment"


def test_the_process_of_one_order_can_not_be_taken_for_a_shard() -> None:
    assert dedicated_partition("0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00") not in shard_names(1024)
