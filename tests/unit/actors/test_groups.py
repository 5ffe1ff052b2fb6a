"""Where orders and groups are at home."""

from __future__ import annotations

from actors.groups import Layout, residue

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"


def test_every_order_has_one_group_and_every_group_one_home() -> None:
    layout = Layout(4)
    group = layout.group_of(ORDER)
    assert layout.home_of(group) in layout.shard_names()
    assert residue(group) == (int(group.split("-")[1]), 4)


def test_stand_ins_are_all_other_shards_in_a_fixed_order_beginning_after_home() -> None:
    assert Layout(4).stand_ins("slices-2-of-4") == ["order-shard-3", "order-shard-0", "order-shard-1"]


def test_a_dedicated_order_is_at_home_in_the_process_of_its_name_and_any_shard_may_stand_in() -> None:
    layout = Layout(2)
    group = f"order-{ORDER}"
    assert layout.home_of(group) == group
    assert residue(group) is None
    assert sorted(layout.stand_ins(group)) == ["order-shard-0", "order-shard-1"]


def test_a_single_shard_has_nobody_to_stand_in() -> None:
    assert Layout(1).stand_ins("slices-0-of-1") == []
