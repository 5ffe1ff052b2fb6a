"""What ``./dev shards`` prints, and which shard it adds and may drain."""

from __future__ import annotations

from typing import Any

import pytest

from local.shards import free_name, owners_without, table
from storage.shards import ListedShard


def shard(number: int, **changes: Any) -> ListedShard:
    """A shard that serves and was seen a moment ago."""
    given = {
        "cell": "main",
        "name": f"order-shard-{number}",
        "node": "10.0.0.1",
        "state": "serving",
        "role": None,
        "seen_s": 0.4,
        "partitions": 32,
    }
    return ListedShard(**(given | changes))


def absent(number: int, role: str) -> ListedShard:
    """A shard that is to be there and has no process."""
    return shard(number, node="", state=None, role=role, seen_s=None, partitions=0)


def test_the_list_says_of_each_shard_what_it_does_and_what_it_is_to_do() -> None:
    shards = [
        shard(0),
        shard(1, state="starting", role="serving", partitions=0, seen_s=12.25),
        shard(2, role="serving"),
        absent(10, "standby"),
    ]
    assert table(shards) == [
        "cell  node      shard           state                     partitions  seen",
        "main  10.0.0.1  order-shard-0   serving                   32          0.4 s ago",
        "main  10.0.0.1  order-shard-1   starting (to be serving)  0           12.2 s ago",
        "main  10.0.0.1  order-shard-2   serving                   32          0.4 s ago",
        "main            order-shard-10  not up (to be standby)    0           never",
    ]


@pytest.mark.parametrize(
    ("shards", "name"),
    [
        ([shard(0), shard(1)], "order-shard-2"),
        ([shard(1)], "order-shard-0"),
        ([shard(0), shard(1), shard(2, cell="other")], "order-shard-2"),
        ([shard(0), absent(1, "serving")], "order-shard-2"),
        ([shard(0), absent(1, "draining")], "order-shard-1"),
        ([shard(0), shard(1, state="draining", role="draining")], "order-shard-2"),
        ([shard(0), shard(1, state="draining", role="draining", seen_s=60.0)], "order-shard-1"),
        ([shard(0), shard(1, seen_s=60.0)], "order-shard-2"),
    ],
)
def test_the_shard_that_is_added_has_the_lowest_number_that_nobody_has(shards: list[ListedShard], name: str) -> None:
    assert free_name(shards, "main") == name


@pytest.mark.parametrize(
    "other",
    [
        absent(1, "serving"),
        shard(1, seen_s=60.0),
        shard(1, state="starting"),
        shard(1, role="draining"),
        shard(1, state="draining"),
    ],
)
def test_a_shard_that_is_gone_or_leaves_can_own_nothing(other: ListedShard) -> None:
    assert owners_without([shard(0), other], "main", "order-shard-0") == []


@pytest.mark.parametrize("other", [shard(1), shard(1, state="standby"), shard(0, cell="other")])
def test_a_shard_that_serves_or_stands_by_in_any_cell_can_own_partitions(other: ListedShard) -> None:
    assert owners_without([shard(0), other], "main", "order-shard-0") == [other]
