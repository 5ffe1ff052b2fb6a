"""One exchange with a partner, and the contract's rules about what an answer means.

Everything that could go wrong on the way becomes a value of ``domain.calls``: a caller never sees an exception of the
network. This file knows nothing of products, payments or customers; it sends each request exactly once, because whether
to send again is decided in one place only (partners/resilience.py).
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from domain.calls import Declined, NotKnown, NotSent, Shortage, Unknown

ANSWER_MAX_BYTES: Final = 1_048_576
DETAIL_MAX_CHARACTERS: Final = 300
CODE_MAX_CHARACTERS: Final = 80
SHORTAGES_MAX: Final = 200
RETRY_AFTER_MAX_S: Final = 60.0
CONNECT_SHARE_OF_TIMEOUT: Final = 0.5
KEEPALIVE_S: Final = 15.0  # below what servers usually keep, so that a connection is seldom closed under a request

T = TypeVar("T")
NoAnswer = NotKnown | Declined | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class Throttled(Unknown):
    """429: outcome unknown like any other, but the partner said when it wants to be asked again."""

    retry_after_s: float = 0.0


class _LostAfterSendingError(Exception):
    """The connection failed when the request may already have been read.

    Not an ``aiohttp`` error on purpose: those make aiohttp send idempotent requests a second time by itself, and after
    that a refused connection proves nothing.
    """


class _ShortageShape(msgspec.Struct):
    sku: str
    available: int


class _ProblemShape(msgspec.Struct):
    code: str
    detail: str = ""
    shortages: list[_ShortageShape] = []  # msgspec copies the default for each value


_PROBLEM: Final = msgspec.json.Decoder(_ProblemShape)


async def _mark_lost(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Tell apart, where it happens, a connection that never was from one that broke."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, TimeoutError):
        raise
    except (aiohttp.ClientError, OSError) as error:
        raise _LostAfterSendingError(type(error).__name__) from error


def segment(text: str) -> str:
    """Quote ``text`` as one segment of a path; ``.`` and ``..`` too, which would otherwise name another path."""
    return quote(text, safe="") if text not in (".", "..") else text.replace(".", "%2E")


class PartnerHttp:
    """Keep-alive connections to one partner. Make it on the event loop that uses it, and ``close`` it.

    ``url`` is the contract's server, e.g. ``https://products.example/v1``. ``call_timeout_s`` covers a whole exchange,
    half of it the connecting. Raises ``ValueError`` when ``url`` is no http(s) URL.
    """

    def __init__(self, url: str, *, call_timeout_s: float, connections_max: int) -> None:
        base = URL(url, encoded=True)
        if base.scheme not in ("http", "https") or not base.host:
            raise ValueError("a partner's URL must begin with http:// or https:// and name a host")
        self._base = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=call_timeout_s, connect=call_timeout_s * CONNECT_SHARE_OF_TIMEOUT),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "ordersvc",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            middlewares=(_mark_lost,),
        )

    async def close(self) -> None:
        """Close the connections; exchanges under way fail as unknown."""
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        shape: msgspec.json.Decoder[T],
        *,
        body: bytes | None = None,
        success: Container[int] = (200,),
    ) -> T | NoAnswer:
        """Send one request and read the answer as ``shape``. ``path`` is quoted already and begins with a slash.

        404 is ``NotKnown``; any other 4xx but 429 is ``Declined``; a connection that never came about is ``NotSent``;
        everything else that is not a status of ``success`` with a body of that shape is ``Unknown``.
        """
        try:
            async with self._session.request(
                method, URL(self._base + path, encoded=True), data=body, allow_redirects=False
            ) as response:
                content = await _bounded(response)
        except aiohttp.ConnectionTimeoutError:
            return NotSent("no connection in time")
        except aiohttp.ClientConnectorError as error:
            return NotSent(f"no connection: {type(error.__cause__ or error).__name__}")
        except TimeoutError:
            return Unknown("no answer in time")
        except _LostAfterSendingError as error:
            return Unknown(f"connection lost: {error}")
        except (aiohttp.ClientError, OSError) as error:
            return Unknown(f"connection lost: {type(error).__name__}")
        status = response.status
        if content is None:
            return Unknown(f"{status} with more than {ANSWER_MAX_BYTES} bytes")
        if status in success:
            try:
                return shape.decode(content)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                return Unknown(f"{status} with an answer against the contract: {error}"[:DETAIL_MAX_CHARACTERS])
        if status == HTTPStatus.NOT_FOUND:
            return NotKnown()
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled("429 throttled", retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")))
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _declined(status, content)
        return Unknown(f"answered {status}")


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the whole body, or give None when it is larger than it may be (the connection is closed then)."""
    if 0 < (response.content_length or 0) <= ANSWER_MAX_BYTES:
        return await response.read()
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_MAX_BYTES:
            response.close()
            return None
    return bytes(content)


def _retry_after_s(text: str) -> float:
    """Read ``Retry-After`` in seconds; its other form, a date, and nonsense count as not given."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(seconds) else 0.0


def _declined(status: int, content: bytes) -> Declined | Unknown:
    """Read a problem.

    What a 409 means hangs on its code, so one without a code is no word; other statuses speak for themselves.
    """
    try:
        problem = _PROBLEM.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Unknown("409 without a code") if status == HTTPStatus.CONFLICT else Declined(status, f"http_{status}")
    return Declined(
        status,
        problem.code[:CODE_MAX_CHARACTERS],
        problem.detail[:DETAIL_MAX_CHARACTERS],
        tuple(Shortage(shortage.sku, shortage.available) for shortage in problem.shortages[:SHORTAGES_MAX]),
    )
