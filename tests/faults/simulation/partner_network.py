"""The network between bulkheads and partners: requests that never arrive, arrive late, or are answered by something in between.

The clients of ``partners/`` run as they are, and ``PartnerHttp`` with them: its session is the one that is replaced, so that what
an answer means is judged by the service's own code, from its status, its headers and its bytes.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from local.sandbox.responses import EmulatedResponse
from partners import http
from partners.http import PartnerHttp
from tests.faults.simulation.chaos import NETWORK_MS, PARTNER_MS
from tests.faults.simulation.pages import JSON, PROBLEM, Page, any_page

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

SLOW_MS = (500.0, 6000.0)
LATE_MS = (100.0, 9000.0)
VERY_LATE_MS = (9000.0, 40_000.0)
DONE_ALL_THE_SAME = 1 / 3
PROBLEM_FROM = 400


class SimulatedHttp(PartnerHttp):
    """``PartnerHttp`` as it is, but for its connections."""

    def __init__(self, world: World) -> None:
        self._base = "http://partner"
        self._session: Any = _Session(world)


class _Session:
    def __init__(self, world: World) -> None:
        self._world = world

    def request(self, method: str, url: URL, *, data: bytes | None, allow_redirects: bool) -> _Exchange:
        return _Exchange(self._world, method, url, data)


class _Exchange:
    """One request: not sent, done and answered, or done (or not, or later) without an answer."""

    def __init__(self, world: World, method: str, url: URL, body: bytes | None) -> None:
        self._world = world
        self._request = (method, url, body)

    async def __aenter__(self) -> _Response:
        world, chaos, chances = self._world, self._world.chaos, self._world.chaos.chances
        world.laws.asked(*self._request)
        if chaos.strikes(chances.partner_not_reached):
            await asyncio.sleep(chaos.among(NETWORK_MS))
            raise aiohttp.ConnectionTimeoutError
        if chaos.strikes(chances.partner_answer_lost):
            fate = chaos.random.choice(("done", "later", "much later", "failed", "never"))
            if fate == "done":
                world.partners.serve(*self._request)
            elif fate in ("later", "much later"):
                late_s = chaos.among(LATE_MS if fate == "later" else VERY_LATE_MS)
                world.later(late_s, world.partners.serve, *self._request)
            elif fate == "failed":
                await asyncio.sleep(chaos.among(PARTNER_MS))
                return _Response(Page(503, "", b""))
            await asyncio.sleep(chaos.among(PARTNER_MS))
            raise http._LostAfterSendingError("ServerDisconnectedError")
        await asyncio.sleep(chaos.among(PARTNER_MS) / 2)
        if chaos.strikes(chances.partner_page):
            if chaos.strikes(DONE_ALL_THE_SAME):
                world.partners.serve(*self._request)
            page = any_page(chaos.random)
            world.note("page", self._request[0], self._request[1].raw_path, page.status)
            await asyncio.sleep(chaos.among(PARTNER_MS) / 2)
            return _Response(page)
        answer: asyncio.Future[EmulatedResponse] = world.loop.create_future()
        there = asyncio.get_running_loop().call_later(0.0, _do, world, self._request, answer, context=world.context)
        assert there is not None
        told = await answer
        back_s = chaos.among(SLOW_MS if chaos.strikes(chances.partner_slow) else PARTNER_MS) / 2
        await asyncio.sleep(back_s)
        world.laws.words.heard(*self._request, told)
        return _Response(Page(told.status, PROBLEM if told.status >= PROBLEM_FROM else JSON, told.body))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""


class _Response:
    """As much of ``aiohttp.ClientResponse`` as is read of one."""

    def __init__(self, page: Page) -> None:
        self.status = page.status
        self.headers = CIMultiDict({"Content-Type": page.content_type} if page.content_type else {})
        if page.location is not None:
            self.headers["Location"] = page.location
        self.content_type = page.content_type.partition(";")[0] or "application/octet-stream"
        self.content_length = max(len(page.body), 1)
        self._body = page.body

    async def read(self) -> bytes:
        return self._body


def _do(world: World, request: tuple[str, URL, bytes | None], answer: asyncio.Future[EmulatedResponse]) -> None:
    told = world.partners.serve(*request)
    if not answer.done():
        answer.set_result(told)
