"""The partners as the faults have them are themselves again once a fault is over, whatever came in between."""

from __future__ import annotations

import aiohttp
import pytest

from tests.acceptance.started import free_port
from tests.faults.partners import Partners


async def test_a_partner_that_could_not_be_made_to_hang_does_not_hang_later() -> None:
    """The sandbox had just been killed: its hanging was tried again, ended once, and so went on to the end of the run."""
    async with aiohttp.ClientSession() as session:
        partners = Partners(f"http://127.0.0.1:{free_port()}", session)
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                async with partners.hanging("product"):
                    pytest.fail("the sandbox is away")
        assert partners.hanging_now == ()
