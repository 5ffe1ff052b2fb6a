"""What the tests of the bridge share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest

from messaging import topology
from tests.integration.messaging.consuming import Partner
from tests.queues import DELAYS


@pytest.fixture
async def partner(amqp_url: str) -> AsyncIterator[Partner]:
    async with await aio_pika.connect_robust(amqp_url) as connection:
        await topology.declare(connection, delays=DELAYS)
        yield Partner(connection, await connection.channel())
