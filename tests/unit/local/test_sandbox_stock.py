"""ProductSvc of the sandbox, on a clock that is moved by hand. What the contract suite can't force is here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sandbox.records import HoldRecord, ProductRecord, Record
from local.sandbox.responses import EmulatedResponse, instant
from local.sandbox.stock import Stock

LATER_MS = 1_000_000


@dataclass
class World:
    """A stock with its clock and what it kept."""

    now_ms: int = 0
    kept: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stock = Stock(lambda: self.now_ms, lambda record: self.kept.append(msgspec.json.encode(record)))

    def put(self, order: str, revision: int, until_ms: int = LATER_MS, **lines: int) -> tuple[int, Any]:
        rows = [{"sku": sku.replace("_", "-"), "quantity": quantity} for sku, quantity in lines.items()]
        body = {"revision": revision, "expires_at": instant(until_ms), "lines": rows}
        return _read(self.stock.put(order, json.dumps(body).encode()))

    def commit(self, order: str, revision: int) -> tuple[int, Any]:
        return _read(self.stock.commit(order, json.dumps({"revision": revision}).encode()))

    def restarted(self) -> Stock:
        """Another stock that read what this one kept."""
        other = Stock(lambda: self.now_ms, lambda _: None)
        for line in self.kept:
            record = msgspec.json.decode(line, type=Record)
            assert isinstance(record, ProductRecord | HoldRecord)
            other.restore(record)
        return other


def _read(answer: EmulatedResponse) -> tuple[int, Any]:
    body = json.loads(answer.body)
    return answer.status, body.get("code", body.get("state"))


@pytest.fixture
def world() -> World:
    return World()


def test_a_hold_ends_exactly_at_its_time_and_not_before(world: World) -> None:
    world.put("o", 1, until_ms=1000, sku_last_unit=1)
    world.now_ms = 999
    assert world.put("other", 1, sku_last_unit=1) == (409, "out_of_stock")
    world.now_ms = 1000
    assert world.put("third", 1, sku_last_unit=1) == (200, "held")
    assert world.commit("o", 1) == (409, "hold_expired")


def test_what_is_committed_does_not_end(world: World) -> None:
    world.put("o", 1, until_ms=1000, sku_last_unit=1)
    assert world.commit("o", 1) == (200, "committed")
    world.now_ms = 5000
    assert world.commit("o", 1) == (200, "committed")
    assert world.stock.totals()["sku-last-unit"] == {"stock": 1, "available": 0, "held": 0, "committed": 1}


def test_a_hold_that_was_replaced_ends_at_its_new_time_only(world: World) -> None:
    world.put("o", 1, until_ms=1000, sku_last_unit=1)
    world.put("o", 2, until_ms=9000, sku_last_unit=1)
    world.now_ms = 1000
    assert _read(world.stock.get("o")) == (200, "held")
    world.now_ms = 9000
    assert _read(world.stock.get("o")) == (200, "expired")


def test_an_expired_hold_asked_for_again_word_for_word_stays_expired(world: World) -> None:
    world.put("o", 1, until_ms=1000, sku_last_unit=1)
    world.now_ms = 1000
    assert world.put("o", 1, until_ms=1000, sku_last_unit=1) == (200, "expired")
    assert world.stock.available("sku-last-unit") == 1
    assert world.put("o", 2, sku_last_unit=1) == (200, "held")


def test_a_refusal_is_repeated_for_the_same_revision_though_there_is_stock_by_now(world: World) -> None:
    world.put("first", 1, sku_last_unit=1)
    assert world.put("o", 1, sku_last_unit=1) == (409, "out_of_stock")
    world.stock.delete("first")
    assert world.put("o", 1, sku_last_unit=1) == (409, "out_of_stock")
    assert world.put("o", 2, sku_last_unit=1) == (200, "held")


def test_an_order_that_was_only_refused_never_held(world: World) -> None:
    world.put("o", 1, sku_sold_out=1)
    assert _read(world.stock.get("o"))[0] == 404
    assert world.commit("o", 1)[0] == 404


def test_a_refused_revision_counts_as_seen(world: World) -> None:
    world.put("o", 1, sku_tea=1)
    world.put("o", 3, sku_sold_out=1)
    assert world.put("o", 2, sku_tea=1) == (409, "stale_revision")
    assert world.commit("o", 3) == (409, "stale_revision")
    assert world.commit("o", 1) == (200, "committed")


def test_the_committed_with_other_content_or_revision_is_refused(world: World) -> None:
    world.put("o", 1, sku_tea=1)
    world.commit("o", 1)
    assert world.put("o", 1, sku_tea=2) == (409, "already_committed")
    assert world.put("o", 2, sku_tea=1) == (409, "already_committed")


def test_what_is_not_sellable_can_not_be_held(world: World) -> None:
    assert world.put("o", 1, sku_not_sellable=1) == (409, "out_of_stock")


def test_lines_of_the_same_sku_count_together(world: World) -> None:
    lines = [{"sku": "sku-last-unit", "quantity": 1}] * 2
    body = json.dumps({"revision": 1, "expires_at": instant(LATER_MS), "lines": lines}).encode()
    assert _read(world.stock.put("o", body)) == (409, "out_of_stock")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"revision":0,"expires_at":"2026-01-01T00:00:00Z","lines":[]}',
        b'{"revision":true,"expires_at":"2026-01-01T00:00:00Z","lines":[]}',
        b'{"revision":1,"expires_at":"2026-01-01T00:00:00","lines":[]}',
        b'{"revision":1,"expires_at":"2026-01-01T00:00:00Z","lines":[{"sku":"a","quantity":0}]}',
    ],
)
def test_a_hold_that_can_not_be_read_is_a_bad_request(world: World, body: bytes) -> None:
    assert _read(world.stock.put("o", body)) == (422, "invalid_request")


def test_what_can_not_be_kept_does_not_happen() -> None:
    def full(_: object) -> None:
        raise OSError("disk full")

    stock = Stock(lambda: 0, full)
    rows = [{"sku": "sku-last-unit", "quantity": 1}]
    body = json.dumps({"revision": 1, "expires_at": instant(LATER_MS), "lines": rows}).encode()
    with pytest.raises(OSError, match="disk full"):
        stock.put("o", body)
    assert stock.available("sku-last-unit") == 1


def test_a_changed_product_has_a_higher_version_and_keeps_its_other_prices(world: World) -> None:
    before = world.stock.change("sku-tea", {})
    after = world.stock.change("sku-tea", {"prices": {"EUR": 1}, "stock": 5})
    assert after.version == before.version + 1
    assert (after.prices["EUR"], after.prices["JPY"], after.stock) == (1, before.prices["JPY"], 5)
    with pytest.raises(msgspec.ValidationError):
        world.stock.change("sku-tea", {"stock": "many"})


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "commit", "delete", "expire", "wait"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 4),
        st.integers(1, 6),
    ),
    max_size=30,
)


@given(STEPS)
def test_nothing_is_oversold_and_a_restart_remembers_everything(steps: list[tuple[str, str, int, int]]) -> None:
    world = World()
    for step, order, revision, quantity in steps:
        if step == "put":
            world.put(order, revision, until_ms=world.now_ms + 100 * quantity, sku_few=quantity, sku_last_unit=1)
        elif step == "commit":
            world.commit(order, revision)
        elif step == "delete":
            world.stock.delete(order)
        elif step == "expire":
            world.stock.expire(order)
        else:
            world.now_ms += 100
        totals = world.stock.totals()
        for count in totals.values():
            assert min(count.values()) >= 0
            assert count["stock"] == count["available"] + count["held"] + count["committed"]
    again = world.restarted()
    assert again.totals() == world.stock.totals()
    assert again.holds(None) == world.stock.holds(None)
    assert again.change("sku-few", {}).version >= world.stock.change("sku-few", {}).version
