"""The public keys that tokens are checked with: a JSON Web Key Set, kept for a bounded time.

It is asked for again when it has grown old, and when a token names a key that is not in it, but never more often than
a bound. Keys that the set no longer has are dropped. Nothing here reads tokens.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from domain.errors import Unavailable

_log = structlog.get_logger()

FETCH_TIMEOUT_S = 3.0
FETCH_MAX_BYTES = 1_048_576
_ALGORITHM_OF = {"RSA": "RS256", "OKP": "EdDSA"}


def fetcher_of(location: str) -> Callable[[], Awaitable[bytes]]:
    """Make what reads the key set: from an ``http(s)`` URL, else from a file (a path, or a ``file`` URL)."""
    parts = urlsplit(location)
    if parts.scheme in ("http", "https"):
        return lambda: asyncio.to_thread(_download, location)
    path = Path(parts.path if parts.scheme == "file" else location)
    return lambda: asyncio.to_thread(path.read_bytes)


def _download(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310 - http(s) only, above
    with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310
        data: bytes = answer.read(FETCH_MAX_BYTES + 1)
    if len(data) > FETCH_MAX_BYTES:
        raise ValueError("the key set is too large")
    return data


class KeySet:
    """Keys by algorithm and id. The algorithm follows from a key's type, so a token can't choose another for it."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        fresh_s: float = 300.0,
        stale_max_s: float = 3600.0,
        refetch_every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fresh_s``: the age at which the set is read again; ``stale_max_s``: how old it may get while reading fails;
        ``refetch_every_s``: the least time between two readings.
        """
        self._fetch = fetch
        self._fresh_s = fresh_s
        self._stale_max_s = stale_max_s
        self._refetch_every_s = refetch_every_s
        self._clock = clock
        self._keys: dict[tuple[str, str], PyJWK] = {}
        self._data = b""
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._reading = asyncio.Lock()
        self.generation = 0

    async def find(self, algorithm: str, key_id: str | None) -> PyJWK | None:
        """Give the key for a token, or None. Without a key id, the only key for that algorithm.

        Raises ``Unavailable`` when the set was never read, or is too old and can't be read.
        """
        if self._age_s() > self._fresh_s:
            await self._read_again()
        key = self._look(algorithm, key_id)
        if key is None:
            await self._read_again()
            key = self._look(algorithm, key_id)
        if self._age_s() > self._stale_max_s:
            raise Unavailable("keys_unavailable", "The key set can't be read.", retry_after_s=self._refetch_every_s)
        return key

    def _age_s(self) -> float:
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def _look(self, algorithm: str, key_id: str | None) -> PyJWK | None:
        if key_id is not None:
            return self._keys.get((algorithm, key_id))
        fitting = [key for (of, _), key in self._keys.items() if of == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def _read_again(self) -> None:
        async with self._reading:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < self._refetch_every_s:
                return
            self._tried_at = now
            try:
                data = await self._fetch()
                if data != self._data:
                    self._keys = _parse(data)
                    self._data = data
                    self.generation += 1
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                _log.warning("key_set_not_read", error=type(error).__name__)
                return
            self._read_at = now


def _parse(data: bytes) -> dict[tuple[str, str], PyJWK]:
    """Read a JWK set; keys of other types, for other uses, or unreadable are passed over."""
    keys: dict[tuple[str, str], PyJWK] = {}
    found: list[dict[str, Any]] = json.loads(data)["keys"]
    for position, jwk in enumerate(found):
        algorithm = _ALGORITHM_OF.get(jwk.get("kty", ""))
        if algorithm is None or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
            continue
        try:
            keys[algorithm, str(jwk.get("kid", f"#{position}"))] = PyJWK(jwk, algorithm=algorithm)
        except PyJWTError as error:
            _log.warning("key_passed_over", error=type(error).__name__)
    return keys
