from __future__ import annotations

import pytest

from tests.unit.api.driving import World


@pytest.fixture
def world() -> World:
    return World()
