"""A shard that dies again and again: operators are told, it is started ever more slowly, and its orders are looked after meanwhile."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.started import Started, until

SHARDS = 2
KILLS_MAX = 12
BACK_LIMIT_S = 60.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A service of its own: a storm is remembered for a minute."""
    with Started(tmp_path_factory.mktemp("storm") / "state", {"SHARDS": str(SHARDS)}) as started:
        yield started


@pytest.fixture
def shop(service: Started) -> Shop:
    return Shop(service.endpoints(), service.folder)


def figure(shop: Shop, name: str) -> float:
    """The sum of a metric."""
    _, text, _ = shop.ask("GET", "/metrics")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))


def test_a_shard_that_keeps_dying_is_started_ever_more_slowly_and_that_is_told(service: Started, shop: Shop) -> None:
    steady = service.find("ray::OrderShard")

    def both_are_up() -> list[int] | None:
        others = [pid for pid in service.find_all("ray::OrderShard") if pid != steady]
        shards_up = figure(shop, r'ordersvc_process_up{process="order-shard-\d+"}')
        return others if others and shards_up == SHARDS else None

    def has_lost(times: int) -> bool:
        return figure(shop, "ordersvc_supervisor_lost_total") >= times

    for kills in range(1, KILLS_MAX):
        for pid in until(both_are_up, "both shards are up", BACK_LIMIT_S):
            os.kill(pid, signal.SIGKILL)
        until(partial(has_lost, kills), f"loss {kills} is noticed", BACK_LIMIT_S)
        assert shop.create()["status"] in ("created", "validated")
        if figure(shop, "ordersvc_supervisor_storms_total"):
            break
    else:
        pytest.fail("nobody notices the storm")
    assert figure(shop, r'ordersvc_alerts_total{alert="restart_storm"}') >= 1
    assert figure(shop, "ordersvc_supervisor_held_back_total") >= 1
    until(both_are_up, "the shard is started again", BACK_LIMIT_S)
    assert steady in service.find_all("ray::OrderShard")
