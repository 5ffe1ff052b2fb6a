"""Who is calling: bearer tokens checked and turned into a ``Caller``.

HS256 is checked with the one shared key and nothing else, RS256 and EdDSA with the public key set and nothing else.
What a caller may do to which order is not decided here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from api.access.jwks import KeySet
from api.problems import Problem
from api.shapes.fields import is_identifier

ADMIN = "admin"
ORDERS_READ = "orders:read"
ORDERS_WRITE = "orders:write"
PAYMENTS_WRITE = "payments:write"
SHIPMENTS_WRITE = "shipments:write"
PROMOTIONS_WRITE = "promotions:write"
METRICS_READ = "metrics:read"
SCOPES = (ORDERS_READ, ORDERS_WRITE, PAYMENTS_WRITE, SHIPMENTS_WRITE, PROMOTIONS_WRITE, METRICS_READ, ADMIN)

TOKEN_MAX_CHARACTERS = 8192
SUBJECT_MAX_CHARACTERS = 255
TIME_MAX_S = 253_402_300_799  # the last second of the year 9999
LEEWAY_S = 30.0
KEY_MIN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """``subject``: the token's ``sub``. ``customer_id``: the only customer whose orders exist for this caller, or None.

    ``token_id``: a digest of the token, to count its requests by. ``admin`` implies every scope.
    """

    subject: str
    scopes: frozenset[str]
    customer_id: str | None
    token_id: str
    is_admin: bool

    @property
    def sees_internals(self) -> bool:
        """Tell whether the caller is shown what is for staff only; an admin's token that has a customer is that customer's."""
        return self.is_admin and self.customer_id is None

    def may(self, *scopes: str) -> bool:
        """Tell whether the caller has one of the scopes."""
        return self.is_admin or not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """``key``: the HS256 key, or empty; ``issuer`` and ``audience`` are checked where they are not empty.

    ``remembered_max_s``: how long a checked token is trusted without checking it again (never past its end).
    """

    key: str = ""
    issuer: str = ""
    audience: str = ""
    remembered_max_s: float = 60.0
    remembered_max_tokens: int = 4096


class Authenticator:
    """Checks tokens, and remembers those that it has checked, for checking is dear and clients come back."""

    def __init__(self, rules: TokenRules, key_set: KeySet | None, clock: Callable[[], float] = time.time) -> None:
        """Raises ``ValueError`` when the HS256 key is too short."""
        if rules.key and len(rules.key.encode()) < KEY_MIN_BYTES:
            raise ValueError(f"JWT_KEY has to have {KEY_MIN_BYTES} bytes at least")
        self._rules = rules
        self._key_set = key_set
        self._clock = clock
        self._remembered: dict[str, tuple[Caller, float]] = {}
        self._generation = 0

    async def caller(self, authorization: str | None) -> Caller:
        """Read an ``Authorization`` header.

        Raises ``Problem`` ``unauthorized`` without a bearer token, ``invalid_token`` with one that fails any check, and
        ``Unavailable`` when the key set can't be had.
        """
        token = _bearer(authorization)
        if self._key_set is not None and self._key_set.generation != self._generation:
            self._generation = self._key_set.generation
            self._remembered.clear()
        now = self._clock()
        remembered = self._remembered.get(token)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        claims = await self._claims(token)
        ends_s = _end_s(claims, now)
        caller = _caller_of(claims, hashlib.blake2b(token.encode("latin-1"), digest_size=16).hexdigest())
        self._remember(token, caller, min(now + self._rules.remembered_max_s, ends_s))
        return caller

    def _remember(self, token: str, caller: Caller, until: float) -> None:
        self._remembered.pop(token, None)
        if len(self._remembered) >= self._rules.remembered_max_tokens:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = (caller, until)

    async def _claims(self, token: str) -> dict[str, Any]:
        rules = self._rules
        try:
            header = jwt.get_unverified_header(token)
            algorithm = str(header.get("alg"))
            key: Any
            if algorithm == "HS256" and rules.key:
                key = rules.key
            elif algorithm in ("RS256", "EdDSA") and self._key_set is not None:
                key = await self._key_set.find(algorithm, header.get("kid"))
            else:
                key = None
            if key is None:
                raise _invalid("it is signed with an algorithm or a key that is not accepted")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=rules.issuer or None,
                audience=rules.audience or None,
                options={
                    "require": ["sub", "exp", *(["iss"] if rules.issuer else []), *(["aud"] if rules.audience else [])],
                    "verify_aud": bool(rules.audience),
                    "verify_iss": bool(rules.issuer),
                    # Times are checked here: what PyJWT takes for one has no end.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise _invalid(str(error) or "it can't be read") from None
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise _invalid("it can't be read") from None
        return claims


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Problem(
            "unauthorized", "Send a bearer token.", headers=((b"www-authenticate", b'Bearer realm="ordersvc"'),)
        )
    if len(token) > TOKEN_MAX_CHARACTERS:
        raise _invalid("it is too long")
    return token


def _caller_of(claims: dict[str, Any], token_id: str) -> Caller:
    subject = claims["sub"]
    if not isinstance(subject, str) or not is_identifier(subject, SUBJECT_MAX_CHARACTERS):
        raise _invalid("its sub can't be used")
    customer_id = claims.get("customer_id")
    if "customer_id" in claims and (not isinstance(customer_id, str) or not is_identifier(customer_id)):
        raise _invalid("its customer_id can't be used")
    scopes = _scopes(claims, "scope") | _scopes(claims, "scp")
    return Caller(subject=subject, scopes=scopes, customer_id=customer_id, token_id=token_id, is_admin=ADMIN in scopes)


def _end_s(claims: dict[str, Any], now_s: float) -> float:
    """When the token ends, with the leeway; raises ``Problem`` where it has ended, is not valid yet, or its times are none."""
    ends_s = _time_s(claims, "exp") + LEEWAY_S
    if now_s >= ends_s:
        raise _invalid("it has expired")
    if "nbf" in claims and now_s < _time_s(claims, "nbf") - LEEWAY_S:
        raise _invalid("it is not valid yet")
    if "iat" in claims:
        _time_s(claims, "iat")
    return ends_s


def _time_s(claims: dict[str, Any], name: str) -> float:
    """Read a NumericDate (RFC 7519): seconds, with a fraction or without."""
    value = claims[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= TIME_MAX_S:
        raise _invalid(f"its {name} is no time")
    return float(value)


def _scopes(claims: dict[str, Any], name: str) -> frozenset[str]:
    """Scopes as one text with blanks between (RFC 9068), or as a list of texts."""
    claim = claims.get(name, "")
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list) and all(isinstance(scope, str) for scope in claim):
        return frozenset(claim)
    raise _invalid(f"its {name} is neither a text nor a list of texts")


def _invalid(why: str) -> Problem:
    return Problem(
        "invalid_token",
        f"The token is not accepted: {why}.",
        headers=((b"www-authenticate", b'Bearer realm="ordersvc", error="invalid_token"'),),
    )
