"""One running service for all tests that only use it; those that break it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.started import Started


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A `./dev run` that is ready."""
    started = Started(tmp_path_factory.mktemp("service") / "state")
    try:
        started.endpoints()
        yield started
    finally:
        started.end()


@pytest.fixture(scope="session")
def shop(service: Started) -> Shop:
    """A client of that service."""
    return Shop(service.endpoints(), service.folder)
