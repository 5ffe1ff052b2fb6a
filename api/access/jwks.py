"""The public keys that tokens are checked with: a JSON Web Key Set, kept for a bounded time.

It is read again in the background when it has grown old; what is known is good meanwhile, for an hour at most. Only a token
that names a key which is not in it has to wait for a reading, a second at most, and there is never more than one reading at a time,
nor one more often than a bound. Keys that the set no longer has are dropped. Nothing here reads tokens.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from domain.errors import Unavailable
from supervised import awaited, note_failure

_log = structlog.get_logger()

FETCH_TIMEOUT_S = 3.0
FETCH_MAX_BYTES = 1_048_576
WAIT_MAX_S = 1.0
_ALGORITHM_OF = {"RSA": "RS256", "OKP": "EdDSA"}


def fetcher_of(location: str) -> Callable[[], Awaitable[bytes]]:
    """Make what reads the key set: from an ``http(s)`` URL, else from a file (a path, or a ``file`` URL)."""
    parts = urlsplit(location)
    if parts.scheme in ("http", "https"):
        return lambda: _download(location)
    path = Path(parts.path if parts.scheme == "file" else location)
    return lambda: asyncio.to_thread(path.read_bytes)


async def _download(url: str) -> bytes:
    """Read a URL as a whole, within ``FETCH_TIMEOUT_S``, following no redirect. Raises ``OSError`` or ``ValueError``."""
    data = bytearray()
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                raise OSError(f"answered {answer.status}")
            async for chunk in answer.content.iter_any():
                data += chunk
                if len(data) > FETCH_MAX_BYTES:
                    raise ValueError("the key set is too large")
    except aiohttp.ClientError as error:
        raise OSError(str(error)) from error
    return bytes(data)


class KeySet:
    """Keys by algorithm and id. The algorithm follows from a key's type, so a token can't choose another for it."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        fresh_s: float = 300.0,
        stale_max_s: float = 3600.0,
        refetch_every_s: float = 5.0,
        wait_max_s: float = WAIT_MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fresh_s``: the age at which the set is read again; ``stale_max_s``: how old it may get while reading fails;
        ``refetch_every_s``: the least time between two readings; ``wait_max_s``: how long a token waits for one.
        """
        self._fetch = fetch
        self._fresh_s = fresh_s
        self._stale_max_s = stale_max_s
        self._refetch_every_s = refetch_every_s
        self._wait_max_s = wait_max_s
        self._clock = clock
        self._keys: dict[tuple[str, str], PyJWK] = {}
        self._data = b""
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._reading: asyncio.Task[bool] | None = None
        self._waits_end_s = 0.0
        self.generation = 0

    async def find(self, algorithm: str, key_id: str | None) -> PyJWK | None:
        """Give the key for a token, or None. Without a key id, the only key for that algorithm.

        Raises ``Unavailable`` when the set was never read, is too old, or can't be read to see whether it has the key by now.
        """
        key = self._look(algorithm, key_id)
        is_usable = self._age_s() <= self._stale_max_s
        if key is not None and is_usable:
            if self._age_s() > self._fresh_s:
                self._read_in_background()
            return key
        is_read = await self._read_now()
        if not is_read or self._age_s() > self._stale_max_s:
            raise Unavailable("keys_unavailable", "The key set can't be read.", retry_after_s=self._refetch_every_s)
        return self._look(algorithm, key_id)

    def _age_s(self) -> float:
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def _look(self, algorithm: str, key_id: str | None) -> PyJWK | None:
        if key_id is not None:
            return self._keys.get((algorithm, key_id))
        fitting = [key for (of, _), key in self._keys.items() if of == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _read_in_background(self) -> None:
        """Begin a reading, unless one is under way or the last one began only just now."""
        now = self._clock()
        is_under_way = self._reading is not None and not self._reading.done()
        if is_under_way or (self._tried_at is not None and now - self._tried_at < self._refetch_every_s):
            return
        self._tried_at = now
        self._waits_end_s = asyncio.get_running_loop().time() + self._wait_max_s
        self._reading = awaited("key-set", self._read(now))

    async def _read_now(self) -> bool:
        """Wait for the reading under way, or a new one, or none where the last began only just now: whether it was good."""
        self._read_in_background()
        if self._reading is None:
            return False
        left_s = max(0.0, self._waits_end_s - asyncio.get_running_loop().time())
        await asyncio.wait((self._reading,), timeout=left_s)
        return self._reading.done() and self._reading.result()

    async def _read(self, now: float) -> bool:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                data = await self._fetch()
            if data != self._data:
                self._keys = _parse(data)
                self._data = data
                self.generation += 1
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("key_set_not_read", error=type(error).__name__)
            return False
        except Exception as error:  # noqa: BLE001 - a reading begun in the background may have no caller that waits
            note_failure("key-set", error)
            return False
        self._read_at = now
        return True


def _parse(data: bytes) -> dict[tuple[str, str], PyJWK]:
    """Read a JWK set; keys of other types, for other uses, or unreadable are passed over.

    Raises ``ValueError``, ``TypeError`` or ``KeyError`` for what is no such set, one in which no entry is a key included.
    """
    keys: dict[tuple[str, str], PyJWK] = {}
    found: list[dict[str, Any]] = json.loads(data)["keys"]
    if found and not any(isinstance(jwk, dict) for jwk in found):
        raise ValueError("no entry of the key set is a key")
    for position, jwk in enumerate(found):
        try:
            algorithm = _ALGORITHM_OF.get(jwk.get("kty", ""))
            if algorithm is None or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
                continue
            keys[algorithm, str(jwk.get("kid", f"#{position}"))] = PyJWK(jwk, algorithm=algorithm)
        except (PyJWTError, ValueError, TypeError, AttributeError) as error:
            _log.warning("key_passed_over", error=type(error).__name__)
    return keys
