"""How each dependency is: asked all at once, each within a limit, and not more often than a bound.

It only looks. What follows from a dependency being away is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from api.ports import Health
from storage.errors import StorageUnavailable

log = structlog.get_logger()

Check = Callable[[], Awaitable[bool]]

CHECK_TIMEOUT_S = 1.0
REPORT_TIMEOUT_S = 0.5
FRESH_S = 0.5
_PORTS = {"http": 80, "https": 443, "amqp": 5672, "amqps": 5671}


class Unwell(Exception):
    """The dependency answers, and is not well; the message says why, for every caller to see."""


class HealthChecks:
    """Asks every dependency; what it found is given again for ``FRESH_S``, so that asking often costs little."""

    def __init__(self, checks: Mapping[str, Check], clock: Callable[[], float] = time.monotonic) -> None:
        """``checks``: by the dependency's name; each gives whether it is well, or raises."""
        self._checks = checks
        self._clock = clock
        self._asking = asyncio.Lock()
        self._found: dict[str, Health] = {}
        self._found_at_s = float("-inf")

    async def check(self) -> Mapping[str, Health]:
        """Give the health of each; never raises."""
        async with self._asking:
            if self._clock() - self._found_at_s > FRESH_S:
                healths = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
                self._found = dict(zip(self._checks, healths, strict=True))
                self._found_at_s = self._clock()
        return self._found

    async def _ask(self, check: Check) -> Health:
        started_s = self._clock()
        detail = ""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                is_well = await check()
        except TimeoutError:
            is_well, detail = False, f"no answer within {CHECK_TIMEOUT_S:g} s"
        except (OSError, StorageUnavailable) as error:
            is_well, detail = False, type(error).__name__
        except Unwell as error:
            is_well, detail = False, str(error)
        latency_ms = (self._clock() - started_s) * 1000
        return Health("ok" if is_well else "down", latency_ms, "" if is_well else detail or "does not answer")


def accepts_connections(url: str) -> Check:
    """Make a check that the URL's port accepts a connection; raises ``ValueError`` for a URL without a host."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    if not host or not port:
        raise ValueError("a URL has to have a host, and a port or a known scheme")

    async def check() -> bool:
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True

    return check


def answers_messages(accepts: Check, report: Callable[[], Awaitable[Mapping[str, Any]]]) -> Check:
    """Make a check of RabbitMQ: it accepts connections (``accepts``), and by the supervisor's report no message has gone without an
    answer for too long. While the supervisor does not answer, that is not known, and nothing is said of it.
    """

    async def check() -> bool:
        if not await accepts():
            return False
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                processes = (await report())["processes"]
        except Exception as error:  # noqa: BLE001 - any error means that the supervisor does not answer
            log.info("report_not_had", error=type(error).__name__)
            return True
        unanswered = sum(int(figures.get("messages_unanswered", 0)) for figures in processes.values())
        if unanswered:
            raise Unwell(f"{unanswered} messages have gone without an answer for too long")
        return True

    return check
