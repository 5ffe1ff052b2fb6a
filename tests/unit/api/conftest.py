from __future__ import annotations

import pytest

from tests.unit.api.harness import World


@pytest.fixture
def world() -> World:
    return World()
