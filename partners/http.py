"""One exchange with a partner.

Everything that could go wrong on the way becomes a value of ``domain.calls``: a caller never sees an exception of the
network. This file knows nothing of products, payments or customers; it sends each request exactly once, because whether
to send again is decided in one place only (partners/resilient_client.py). What an answer means, partners/responses.py says.
"""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from domain.calls import NotSent, Unknown
from partners.contract import PartnerOperation
from partners.responses import NoAnswer, PartnerResponse, meaning

ANSWER_MAX_BYTES: Final = 1_048_576
CONNECT_SHARE_OF_TIMEOUT: Final = 0.5
KEEPALIVE_S: Final = 15.0  # below what servers usually keep, so that a connection is seldom closed under a request

T = TypeVar("T")


class _LostAfterSendingError(Exception):
    """The connection failed when the request may already have been read.

    Not an ``aiohttp`` error on purpose: those make aiohttp send idempotent requests a second time by itself, and after
    that a refused connection proves nothing.
    """


async def _mark_lost(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Distinguish, where it happens, a connection that never was from one that broke."""
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
                "Accept": "application/json, application/problem+json",
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

    async def ask(self, operation: PartnerOperation[T], path: str, *, body: bytes | None = None) -> T | NoAnswer:
        """Send one request and give what its answer means. ``path`` is quoted already and begins with a slash.

        A connection that never came about is ``NotSent``; one that broke, a timeout, and an answer that the contract does
        not describe for ``operation`` are ``Unknown``.
        """
        try:
            async with self._session.request(
                operation.method, URL(self._base + path, encoded=True), data=body, allow_redirects=False
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
        if content is None:
            return Unknown(f"{response.status} with more than {ANSWER_MAX_BYTES} bytes")
        headers = response.headers
        return meaning(
            operation,
            PartnerResponse(
                status=response.status,
                content_type=headers.get("Content-Type", ""),
                retry_after=headers.get("Retry-After", ""),
                content=content,
            ),
        )


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
