"""Tokens whose claims are at the edges of their types, signed with the service's own key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import time
from typing import Any

from tests.fuzz.edges import Edges, write

TIME = {"type": "integer", "minimum": 0}
CLAIMS: dict[str, Any] = {
    "type": "object",
    "required": ["sub", "scope", "exp"],
    "properties": {
        "sub": {"type": "string", "minLength": 1, "maxLength": 255},
        "scope": {"type": "string"},
        "scp": {"type": "array", "items": {"type": "string"}},
        "customer_id": {"type": "string", "minLength": 1, "maxLength": 128},
        "exp": TIME,
        "nbf": TIME,
        "iat": TIME,
        "iss": {"type": "string"},
        "aud": {"type": ["string", "array"], "items": {"type": "string"}},
        "jti": {"type": "string"},
    },
}
HEADERS: tuple[dict[str, Any], ...] = (
    {"alg": "HS256", "typ": "JWT"}, {"alg": "none"}, {"alg": "HS256", "kid": "\0"}, {"alg": "RS256"}, {"alg": ["HS256"]},
    {"alg": "HS256", "crit": ["x"]}, {"alg": "HS256", "b64": False, "crit": ["b64"]}, {}, {"alg": None}, {"alg": "HS256", "kid": 7},
)  # fmt: skip


class Tokens:
    """Makes tokens for one key."""

    def __init__(self, rng: random.Random, key: str) -> None:
        self._rng = rng
        self._key = key.encode()
        self._edges = Edges(rng, {})

    def spoilt(self, customer: str) -> str:
        """A token with a claim, seldom a header, that is not as it should be."""
        now_s = int(time.time())
        claims: Any = {
            "sub": "fuzz",
            "scope": "orders:read orders:write payments:write",
            "exp": now_s + 3600,
            "nbf": now_s,
            "iat": now_s,
        }
        if self._rng.random() < 0.7:
            claims["customer_id"] = customer
        claims = self._edges.spoilt(CLAIMS, claims, self._rng.choice((1, 1, 2)))
        header = HEADERS[0] if self._rng.random() < 0.9 else self._rng.choice(HEADERS)
        return self._signed(write(header), write(claims))

    def _signed(self, header: str, claims: str) -> str:
        text = f"{_base64(header.encode())}.{_base64(claims.encode('utf-8', 'surrogatepass'))}"
        signature = _base64(hmac.new(self._key, text.encode(), hashlib.sha256).digest())
        return f"{text}.{signature}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
