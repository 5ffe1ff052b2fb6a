"""Who owns an order: the owners table says so, unless its owner is gone or says repeatedly that it does not."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.groups import Layout
from actors.ownership import Owner, Ownership

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
LAYOUT = Layout(2)
GROUP = LAYOUT.group_of(ORDER)
HOME = LAYOUT.home_of(GROUP)
OTHER = LAYOUT.stand_ins(GROUP)[0]
DEDICATED = f"order-{ORDER}"


@dataclass
class Table:
    """The owners table and the shards, as a router sees them."""

    owners: dict[str, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    forgotten: list[str] = field(default_factory=list)
    is_readable: bool = True

    def is_up(self, name: str) -> bool:
        return name not in self.down

    def forget(self, name: str) -> None:
        self.forgotten.append(name)

    async def read(self) -> dict[str, str]:
        if not self.is_readable:
            raise OSError("away")
        return dict(self.owners)

    async def ownership(self) -> Ownership:
        ownership = Ownership(LAYOUT, self, self.read, read_every_s=1.0, dedicated_max_orders=2)
        await ownership.refresh()
        return ownership


def found(ownership: Ownership, order_id: str = ORDER) -> Owner:
    owner = ownership.owner_of(order_id)
    assert owner is not None
    return owner


def whom(ownership: Ownership) -> tuple[str, str, bool] | None:
    owner = ownership.owner_of(ORDER)
    return None if owner is None else (owner.process, owner.group, owner.take)


async def test_the_table_wins_over_the_home_shard_and_one_that_is_up_over_both() -> None:
    table = Table()
    ownership = await table.ownership()
    assert whom(ownership) == (HOME, GROUP, False)
    table.owners[GROUP] = OTHER
    await ownership.refresh()
    assert whom(ownership) == (OTHER, GROUP, False)
    table.down = {OTHER}
    assert whom(ownership) == (HOME, GROUP, True)
    table.down = {HOME}
    assert whom(ownership) == (OTHER, GROUP, False)
    table.down = {HOME, OTHER}
    assert whom(ownership) is None


async def test_an_owner_that_denies_it_twice_is_replaced_and_each_reading_of_the_table_counts_once() -> None:
    table = Table({GROUP: OTHER})
    ownership = await table.ownership()
    early = found(ownership)
    for _ in range(5):
        ownership.not_owner(ORDER, early, "")  # five messages of one moment
    assert whom(ownership) == (OTHER, GROUP, False)
    await ownership.refresh()
    ownership.not_owner(ORDER, found(ownership), "")
    assert whom(ownership) == (HOME, GROUP, True)
    ownership.is_owner(found(ownership))
    assert whom(ownership) == (OTHER, GROUP, False)


async def test_denials_of_different_processes_do_not_add_up() -> None:
    table = Table({GROUP: OTHER})
    ownership = await table.ownership()
    ownership.not_owner(ORDER, found(ownership), "")
    table.owners[GROUP] = HOME
    await ownership.refresh()
    ownership.not_owner(ORDER, found(ownership), "")
    assert whom(ownership) == (HOME, GROUP, False)


async def test_an_order_with_a_process_of_its_own_is_found_there_until_that_says_no() -> None:
    ownership = await Table().ownership()
    ownership.not_owner(ORDER, found(ownership), DEDICATED)
    assert whom(ownership) == (DEDICATED, DEDICATED, False)
    ownership.not_owner(ORDER, found(ownership), "")
    assert whom(ownership) == (HOME, GROUP, False)


async def test_only_so_many_orders_with_a_process_of_their_own_are_remembered() -> None:
    ownership = await Table().ownership()
    for order_id in ("a", "b", "c"):
        ownership.not_owner(order_id, found(ownership, order_id), f"order-{order_id}")
    assert [found(ownership, order_id).group.startswith("order-") for order_id in ("a", "b", "c")] == [
        False,
        True,
        True,
    ]


async def test_a_reading_that_fails_leaves_the_last_one_and_counts_for_no_denial() -> None:
    table = Table({GROUP: OTHER})
    ownership = await table.ownership()
    table.is_readable = False
    for _ in range(3):
        ownership.not_owner(ORDER, found(ownership), "")
        await ownership.refresh()
    assert whom(ownership) == (OTHER, GROUP, False)
