from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.monitoring.health_checks import HealthChecks, accepts_connections, answers_messages
from storage.errors import StorageUnavailable


async def well() -> bool:
    return True


async def unwell() -> bool:
    return False


async def away() -> bool:
    raise StorageUnavailable("with a secret in it")


async def test_each_dependency_is_told_apart() -> None:
    found = await HealthChecks({"a": well, "b": unwell, "c": away}).check()
    assert [(name, health.status, health.detail) for name, health in found.items()] == [
        ("a", "ok", ""),
        ("b", "down", "does not answer"),
        ("c", "down", "StorageUnavailable"),
    ]


async def test_what_was_found_is_told_again_for_a_moment() -> None:
    asked = 0
    now_s = 0.0

    async def check() -> bool:
        nonlocal asked
        asked += 1
        return True

    checks = HealthChecks({"a": check}, clock=lambda: now_s)
    await checks.check()
    await checks.check()
    assert asked == 1
    now_s = 0.6
    await checks.check()
    assert asked == 2


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "redis://host"])
def test_a_url_that_leads_nowhere_fails_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        accepts_connections(url)


def reporting(**processes: dict[str, float]) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def report() -> dict[str, Any]:
        return {"processes": {name.replace("_", "-"): figures for name, figures in processes.items()}}

    return report


async def test_messages_that_have_no_answer_for_too_long_show_at_rabbitmq() -> None:
    """128 messages were neither acknowledged nor set aside, nothing was consumed any more, and everything was said to be well."""
    figures = {"messages_unanswered": 2.0}
    check = answers_messages(well, reporting(event_bridge=figures, order_shard_0={"groups": 1.0}))
    found = await HealthChecks({"rabbitmq": check}).check()
    assert (found["rabbitmq"].status, found["rabbitmq"].detail) == (
        "down",
        "2 messages have gone without an answer for too long",
    )
    figures["messages_unanswered"] = 0.0
    assert (await HealthChecks({"rabbitmq": check}).check())["rabbitmq"].status == "ok"


async def test_rabbitmq_is_well_as_far_as_is_known_while_the_supervisor_does_not_answer() -> None:
    async def silent() -> dict[str, Any]:
        raise ConnectionResetError

    assert (await HealthChecks({"rabbitmq": answers_messages(well, silent)}).check())["rabbitmq"].status == "ok"
    assert (await HealthChecks({"rabbitmq": answers_messages(unwell, silent)}).check())["rabbitmq"].status == "down"
