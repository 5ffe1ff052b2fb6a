"""One running service for all tests that only use it; those that break it start their own.

``ORDERSVC_TEST_ENDPOINTS`` names the ``endpoints.json`` of a service that runs already: the tests then use that one, and
those that look at the processes of a service, start some or kill some are left out. Its partners have to be the
sandbox, which tests steer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.broker import Broker
from tests.acceptance.shop import Shop
from tests.acceptance.started import Started

GIVEN = "ORDERSVC_TEST_ENDPOINTS"
HERE = Path(__file__).resolve().parent


def given_endpoints() -> Path | None:
    """The file that tells of the service to test, where one is given."""
    given = os.environ.get(GIVEN, "")
    return Path(given).resolve() if given else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that look back on all others last; beside a service that is given, leave out who needs its own."""
    items.sort(key=lambda item: item.get_closest_marker("looks_back") is not None)
    if given_endpoints() is None:
        return
    left_out = [item for item in items if _needs_its_own(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _needs_its_own(item: pytest.Item) -> bool:
    if not item.path.is_relative_to(HERE):
        return False
    return item.get_closest_marker("own_service") is not None or "service" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A `./dev run` that is ready."""
    with Started(tmp_path_factory.mktemp("service") / "state") as started:
        yield started


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> tuple[dict[str, str], Path]:
    """Where the service under test is, and its state folder: the one that is given, else one that is started."""
    given = given_endpoints()
    if given is not None:
        return json.loads(given.read_text()), given.parent
    started: Started = request.getfixturevalue("service")
    return started.endpoints(), started.folder


@pytest.fixture(scope="session")
def broker(place: tuple[dict[str, str], Path]) -> Iterator[Broker]:
    """The service's RabbitMQ, as its partners have it, with ears on everything that the service says."""
    with Broker(place[0]["amqp"]) as broker:
        yield broker


@pytest.fixture(scope="session")
def shop(place: tuple[dict[str, str], Path], broker: Broker) -> Shop:
    """A client of that service. Whoever uses it is listened to."""
    return Shop(*place)


@pytest.fixture(scope="module")
def document(shop: Shop) -> Any:
    """The OpenAPI document as the service serves it."""
    status, described, _ = shop.ask("GET", "/openapi.json")
    assert status == 200
    return described
