"""A process in a Ray actor: begun again until it has started, ended well once."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
import ray
from structlog.testing import capture_logs

from actors.processes import hosting
from actors.processes.hosting import ProcessLife, hosted
from actors.processes.order_shard import OrderShard
from actors.processes.process import Process
from settings import WrongSettings

WITHIN_S = 20.0


class Kind:
    """A process whose first starts fail."""

    failures: list[Exception]
    begun = 0
    ended = 0
    has_started: threading.Event

    def __init__(self, name: str, config: str) -> None:
        assert (name, config) == ("event-bridge", "the settings")

    async def start(self) -> None:
        type(self).begun += 1
        if self.failures:
            raise self.failures.pop(0)
        self.has_started.set()

    async def stop(self) -> None:
        type(self).ended += 1


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> type[Kind]:
    """A kind of its own for each test, without logs of its own and without waits between its starts."""
    monkeypatch.setattr(hosting, "START_WAIT_FIRST_S", 0.0)
    monkeypatch.setattr(hosting, "set_up_logs", lambda *_, **__: None)
    monkeypatch.setattr(hosting, "settings_of_process", lambda: "the settings")
    return type("Kind", (Kind,), {"failures": [], "has_started": threading.Event()})


def test_what_keeps_a_process_from_its_start_is_told_and_it_is_begun_again(
    kind: type[Kind], monkeypatch: pytest.MonkeyPatch
) -> None:
    unset: list[Exception] = [WrongSettings("ORDERSVC_LINK_SECRET: is not set")]

    def read() -> str:
        if unset:
            raise unset.pop()
        return "the settings"

    monkeypatch.setattr(hosting, "settings_of_process", read)
    kind.failures = [OSError("not now"), ZeroDivisionError()]
    with capture_logs() as logs:
        life = ProcessLife(cast("type[Process]", kind), "event-bridge")
        assert kind.has_started.wait(WITHIN_S)
    assert [each["event"] for each in logs] == ["process_not_started"] * 3
    assert kind.begun == 3
    life.end()
    assert kind.ended == 1


def test_a_process_may_be_ended_before_it_has_started(kind: type[Kind]) -> None:
    kind.failures = [OSError("not now")]
    life = ProcessLife(cast("type[Process]", kind), "event-bridge")
    life.end()
    assert kind.begun == 2
    assert kind.ended == 1


def test_the_actor_has_the_name_of_the_process_and_is_asked_nothing() -> None:
    actor: Any = hosted(OrderShard)
    assert (actor.__name__, actor.__qualname__) == ("OrderShard", "OrderShard")
    assert hosted(OrderShard) is actor, "Ray keeps each class that it was ever given"
    assert [name for name in vars(actor) if not name.startswith("_")] == []
    assert ray.remote(actor) is not None
