from __future__ import annotations

import pytest

from api.dependencies import HealthChecks, accepts_connections
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
