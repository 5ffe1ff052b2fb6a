from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.access.jwks import KeySet
from api.access.security import Authenticator, Caller, TokenRules
from api.problems import Problem
from domain.errors import Unavailable
from tests.unit.api.harness import EVERY_SCOPE, FAR_FUTURE, KEY, ORDER_ID, World, token

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED_KEY = Ed25519PrivateKey.generate()


def jwk_of(key: Any, kid: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.OKPAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


class Publisher:
    """A key set that can be changed, and go away."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.away = False
        self.fetches = 0

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.away:
            raise OSError("away")
        return json.dumps({"keys": self.keys}).encode()


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def read_again(key_set: KeySet, generation: int) -> None:
    """Return when the key set that is read in the background has changed."""
    async with asyncio.timeout(5):
        while key_set.generation < generation:
            await asyncio.sleep(0)


async def caller_of(text: str, rules: TokenRules | None = None, key_set: KeySet | None = None) -> Caller:
    return await Authenticator(rules or TokenRules(key=KEY), key_set).caller(f"Bearer {text}")


async def refused(text: str, rules: TokenRules | None = None, key_set: KeySet | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        await caller_of(text, rules, key_set)
    return caught.value


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "orders:read orders:write"}, {"orders:read", "orders:write"}),
        ({"scp": ["orders:read"]}, {"orders:read"}),
        ({"scope": ["orders:read"], "scp": "orders:write"}, {"orders:read", "orders:write"}),
        ({}, set()),
    ],
)
async def test_scopes_are_read_from_a_text_or_a_list(claims: dict[str, Any], scopes: set[str]) -> None:
    caller = await caller_of(jwt.encode({"exp": FAR_FUTURE, "sub": "s", **claims}, KEY, algorithm="HS256"))
    assert caller.scopes == scopes


async def test_admin_implies_every_scope() -> None:
    caller = await caller_of(token("admin"))
    assert caller.may("promotions:write")
    assert not (await caller_of(token("orders:read"))).may("promotions:write")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic abc", "abc"])
async def test_without_a_bearer_token_nobody_is_known(header: str | None) -> None:
    with pytest.raises(Problem) as caught:
        await Authenticator(TokenRules(key=KEY), None).caller(header)
    assert caught.value.code == "unauthorized"


def _unsigned() -> str:
    part = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    claims = base64.urlsafe_b64encode(b'{"sub":"s","scope":"admin","exp":%d}' % FAR_FUTURE).rstrip(b"=").decode()
    return f"{part}.{claims}."


@pytest.mark.parametrize(
    "text",
    [
        token(key="another key that is just as long as the first one"),
        token(exp=int(time.time()) - 31),
        token(nbf=int(time.time()) + 600),
        jwt.encode({"exp": FAR_FUTURE, "scope": "admin"}, KEY, algorithm="HS256"),
        jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, KEY + KEY, algorithm="HS512"),
        jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, RSA_KEY, algorithm="RS256"),
        _unsigned(),
        "a.b.c",
        "nonsense",
        "é" * 10,
        "x" * 10_000,
    ],
)
async def test_a_token_that_fails_any_check_is_refused(text: str) -> None:
    assert (await refused(text)).code == "invalid_token"


BAD_TIMES: list[Any] = [
    None,
    True,
    "4102444800",
    [4102444800],
    {},
    -1,
    -0.5,
    253402300800,
    10**400,
    float("nan"),
    float("inf"),
    1e300,
]
BAD_TEXTS: list[Any] = [None, "", 7, True, [], ["c"], {}, "a\x00b", "\n", "a\x1f", "\x7f", "\ud800", "x\udfff"]


@pytest.mark.parametrize("value", BAD_TIMES)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_a_time_that_is_none_is_refused(name: str, value: Any) -> None:
    """An ``exp`` of 400 digits was an internal error."""
    assert (await refused(token(**{name: value}))).code == "invalid_token"


@pytest.mark.parametrize("value", [*BAD_TEXTS, "x" * 256])
async def test_a_subject_that_is_none_is_refused(value: Any) -> None:
    assert (await refused(token(sub=value))).code == "invalid_token"


@pytest.mark.parametrize("value", [*BAD_TEXTS, "x" * 129])
async def test_a_customer_that_is_none_is_refused(value: Any) -> None:
    """A ``customer_id`` of null saw all orders."""
    assert (await refused(token(customer_id=value))).code == "invalid_token"


@pytest.mark.parametrize("value", [None, 7, True, {}, ["orders:read", 7], [None]])
@pytest.mark.parametrize("name", ["scope", "scp"])
async def test_scopes_that_are_none_are_refused(name: str, value: Any) -> None:
    assert (await refused(token(**{name: value}))).code == "invalid_token"


@pytest.mark.parametrize("name", ["iss", "aud"])
@pytest.mark.parametrize("value", [None, 7, [7], {}, [["x"]], "\ud800", 10**400])
async def test_an_issuer_or_audience_of_any_shape_breaks_nothing(name: str, value: Any) -> None:
    claims = {"sub": "s", "exp": FAR_FUTURE, "iss": "us", "aud": "ordersvc", name: value}
    text = jwt.PyJWS().encode(json.dumps(claims).encode(), KEY, algorithm="HS256")
    rules = TokenRules(key=KEY, issuer="us", audience="ordersvc")
    assert (await refused(text, rules)).code == "invalid_token"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "x" * 255, "customer_id": "y" * 128},
        {"sub": "é 😀", "customer_id": "c/1"},
        {"exp": 4102444800.0},
        {"exp": 253402300799, "nbf": 0, "iat": 1.5},
    ],
)
async def test_claims_at_their_ends_are_accepted(claims: dict[str, Any]) -> None:
    caller = await caller_of(token(**claims))
    assert caller.subject == claims.get("sub", "tester")


@pytest.mark.parametrize(("late_s", "early_s", "is_in"), [(29, 0, True), (31, 0, False), (0, 29, True), (0, 31, False)])
async def test_clocks_may_differ_by_half_a_minute(late_s: int, early_s: int, is_in: bool) -> None:
    clock = Clock(1_800_000_000)
    authenticator = Authenticator(TokenRules(key=KEY), None, clock)
    text = token(exp=clock.now - late_s if late_s else FAR_FUTURE, nbf=clock.now + early_s)
    if is_in:
        assert (await authenticator.caller(f"Bearer {text}")).subject == "tester"
    else:
        with pytest.raises(Problem) as caught:
            await authenticator.caller(f"Bearer {text}")
        assert caught.value.code == "invalid_token"


async def test_a_token_without_an_end_is_refused() -> None:
    """It was good for ever."""
    assert (await refused(jwt.encode({"sub": "s", "scope": "admin"}, KEY, algorithm="HS256"))).code == "invalid_token"


async def test_issuer_and_audience_are_checked_where_they_are_set() -> None:
    rules = TokenRules(key=KEY, issuer="https://issuer", audience="ordersvc")
    assert (await caller_of(token(iss="https://issuer", aud=["ordersvc", "x"]), rules)).subject == "tester"
    for claims in ({}, {"iss": "https://issuer"}, {"aud": "ordersvc"}, {"iss": "other", "aud": "ordersvc"}):
        assert (await refused(token(**claims), rules)).code == "invalid_token"


async def test_an_audience_is_passed_over_where_none_is_set() -> None:
    assert (await caller_of(token(aud="elsewhere"))).subject == "tester"


def test_a_short_key_fails_the_start() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Authenticator(TokenRules(key="short"), None)


async def test_public_keys_are_accepted_for_their_own_algorithms() -> None:
    key_set = KeySet(Publisher(jwk_of(RSA_KEY, "r"), jwk_of(ED_KEY, "e")).fetch)
    for key, algorithm, kid in ((RSA_KEY, "RS256", "r"), (ED_KEY, "EdDSA", "e")):
        text = jwt.encode({"exp": FAR_FUTURE, "sub": algorithm}, key, algorithm=algorithm, headers={"kid": kid})
        assert (await caller_of(text, TokenRules(), key_set)).subject == algorithm
        assert (
            await caller_of(
                jwt.encode({"exp": FAR_FUTURE, "sub": "x"}, key, algorithm=algorithm), TokenRules(), key_set
            )
        ).subject == "x"


async def test_a_token_that_names_no_key_is_good_only_where_one_key_can_be_meant() -> None:
    other = Ed25519PrivateKey.generate()
    text = jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, ED_KEY, algorithm="EdDSA")
    for published in ((jwk_of(ED_KEY, "e"), jwk_of(other, "f")), (jwk_of(other, "f"), jwk_of(ED_KEY, "e"))):
        assert (await refused(text, TokenRules(), KeySet(Publisher(*published).fetch))).code == "invalid_token"


async def test_a_public_key_is_never_taken_for_a_shared_one() -> None:
    publisher = Publisher(jwk_of(RSA_KEY, "r"))
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(b'{"sub":"thief","scope":"admin","exp":%d}' % FAR_FUTURE).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + body, hashlib.sha256)).rstrip(b"=")
    forged = b".".join((head, body, signature)).decode()
    for rules in (TokenRules(), TokenRules(key=KEY)):
        assert (await refused(forged, rules, KeySet(publisher.fetch))).code == "invalid_token"


def signed_with(key: bytes) -> str:
    """A token that is signed with any key, also with one that no library would sign with."""
    claims = b'{"sub":"thief","scope":"admin","exp":%d}' % FAR_FUTURE
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', claims))
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
    return b".".join((signed, signature)).decode()


async def test_where_there_is_a_key_set_only_no_token_is_checked_with_the_shared_key_that_is_not_set() -> None:
    assert (await caller_of(signed_with(KEY.encode()))).subject == "thief"  # such a token is one but for its key
    key_set = KeySet(Publisher(jwk_of(RSA_KEY, "r")).fetch)
    assert (await refused(signed_with(b""), TokenRules(), key_set)).code == "invalid_token"


@pytest.mark.parametrize("other", [{"use": "enc"}, {"alg": "RS512"}, {"alg": "PS256"}, {"kty": "EC"}])
async def test_a_key_that_is_not_for_signing_as_we_check_it_is_no_key_of_ours(other: dict[str, Any]) -> None:
    text = jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, RSA_KEY, algorithm="RS256", headers={"kid": "k"})
    published = jwk_of(RSA_KEY, "k")
    assert (await caller_of(text, TokenRules(), KeySet(Publisher(published).fetch))).subject == "s"
    assert (await refused(text, TokenRules(), KeySet(Publisher(published | other).fetch))).code == "invalid_token"


async def test_a_token_has_ended_at_its_end() -> None:
    clock = Clock()
    authenticator = Authenticator(TokenRules(key=KEY), None, clock)
    text = jwt.encode({"exp": 1000, "sub": "s"}, KEY, algorithm="HS256")
    clock.now = 1029.9
    await authenticator.caller(f"Bearer {text}")
    clock.now = 1030.0
    for each in (authenticator, Authenticator(TokenRules(key=KEY), None, clock)):
        with pytest.raises(Problem):
            await each.caller(f"Bearer {text}")


async def test_a_key_of_one_kind_is_not_used_for_the_other() -> None:
    key_set = KeySet(Publisher(jwk_of(RSA_KEY, "k")).fetch)
    text = jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, ED_KEY, algorithm="EdDSA", headers={"kid": "k"})
    assert (await refused(text, TokenRules(), key_set)).code == "invalid_token"


async def test_an_unknown_key_is_asked_for_but_not_more_often_than_a_bound() -> None:
    publisher, clock = Publisher(jwk_of(RSA_KEY, "old")), Clock()
    key_set = KeySet(publisher.fetch, clock=clock)
    text = jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, ED_KEY, algorithm="EdDSA", headers={"kid": "new"})
    for _ in range(5):
        assert (await refused(text, TokenRules(), key_set)).code == "invalid_token"
    assert publisher.fetches == 1
    publisher.keys.append(jwk_of(ED_KEY, "new"))
    clock.now += 6
    assert (await caller_of(text, TokenRules(), key_set)).subject == "s"
    assert publisher.fetches == 2


async def test_a_key_that_the_set_has_dropped_is_not_accepted_any_more() -> None:
    publisher, clock = Publisher(jwk_of(RSA_KEY, "r"), jwk_of(ED_KEY, "e")), Clock()
    key_set = KeySet(publisher.fetch, clock=clock, fresh_s=300)
    authenticator = Authenticator(TokenRules(), key_set)
    text = "Bearer " + jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, RSA_KEY, algorithm="RS256", headers={"kid": "r"})
    other = "Bearer " + jwt.encode({"exp": FAR_FUTURE, "sub": "o"}, ED_KEY, algorithm="EdDSA", headers={"kid": "e"})
    assert (await authenticator.caller(text)).subject == "s"
    publisher.keys.pop(0)
    clock.now += 301
    assert (await authenticator.caller(other)).subject == "o"
    await read_again(key_set, 2)
    with pytest.raises(Problem):
        await authenticator.caller(text)


async def test_a_key_set_that_goes_away_is_trusted_for_a_while_and_then_not() -> None:
    publisher, clock = Publisher(jwk_of(RSA_KEY, "r")), Clock()
    key_set = KeySet(publisher.fetch, clock=clock, fresh_s=300, stale_max_s=3600)
    text = jwt.encode({"exp": FAR_FUTURE, "sub": "s"}, RSA_KEY, algorithm="RS256", headers={"kid": "r"})
    await caller_of(text, TokenRules(), key_set)
    publisher.away = True
    clock.now += 3000
    assert (await caller_of(text, TokenRules(), key_set)).subject == "s"
    clock.now += 3000
    with pytest.raises(Unavailable, match="keys_unavailable"):
        await caller_of(text, TokenRules(), key_set)


async def test_a_key_set_with_strange_entries_gives_the_others() -> None:
    """An entry that was no object, or whose type was no text, cost all others: no token could be checked any more."""
    strange: list[Any] = [
        {"kty": "EC", "crv": "P-256"}, {"kty": "RSA", "kid": "broken"}, {"kty": "oct", "k": "c2VjcmV0"}, "text", 7, None, [],
        {"kty": ["RSA"]}, {"kty": {}}, {"kty": "RSA", "n": 5, "e": "AQAB"}, {"kty": "RSA", "n": "\ud800", "e": "AQAB"},
        {"kty": "OKP", "crv": ["Ed25519"], "x": 5}, {"kty": "OKP", "kid": {}}, {"kty": "RSA", "use": ["sig"]},
    ]  # fmt: skip
    key_set = KeySet(Publisher(*strange, jwk_of(ED_KEY, "e")).fetch)
    assert await key_set.find("EdDSA", "e") is not None
    assert await key_set.find("RS256", "broken") is None


async def test_a_checked_token_is_remembered_until_it_expires_at_most() -> None:
    clock = Clock(time.time())
    authenticator = Authenticator(TokenRules(key=KEY), None, clock)
    text = f"Bearer {token(exp=int(clock.now) + 1)}"
    first = await authenticator.caller(text)
    assert await authenticator.caller(text) is first
    clock.now += 32
    with pytest.raises(Problem, match="expired"):
        await authenticator.caller(text)


async def test_remembered_tokens_are_bounded() -> None:
    authenticator = Authenticator(TokenRules(key=KEY, remembered_max_tokens=2), None)
    for sub in ("a", "b", "c"):
        await authenticator.caller(f"Bearer {token(sub=sub)}")
    assert len(authenticator._remembered) == 2


READ, WRITE = "orders:read", "orders:write"
ORDER = f"/api/orders/{ORDER_ID}"
MATRIX = [
    ("POST", "/api/orders", WRITE),
    ("GET", "/api/orders", READ),
    ("GET", "/api/orders/statistics", READ),
    ("GET", ORDER, READ),
    ("DELETE", ORDER, WRITE),
    ("POST", f"{ORDER}/items", WRITE),
    ("DELETE", f"{ORDER}/items/i", WRITE),
    ("PUT", f"{ORDER}/items/i/quantity", WRITE),
    ("POST", f"{ORDER}/discounts", WRITE),
    ("DELETE", f"{ORDER}/discounts/c", WRITE),
    ("POST", f"{ORDER}/payments", "payments:write"),
    ("GET", f"{ORDER}/payments", READ),
    ("GET", f"{ORDER}/payments/status", READ),
    ("GET", f"{ORDER}/payments/p", READ),
    ("GET", f"{ORDER}/timeline", READ),
    ("GET", "/api/customers/c/orders", READ),
    ("GET", "/api/promotions", "promotions:write"),
    ("POST", "/api/promotions", "promotions:write"),
    ("GET", "/api/promotions/c", "promotions:write"),
    ("PATCH", "/api/promotions/c", "promotions:write"),
    ("DELETE", "/api/promotions/c", "promotions:write"),
    ("POST", f"{ORDER}/attention", "admin"),
    ("GET", "/api/dead-letters", "admin"),
    ("GET", "/api/dead-letters/d", "admin"),
    ("POST", "/api/dead-letters/d/resend", "admin"),
]


@pytest.mark.parametrize(("method", "path", "scope"), MATRIX)
async def test_every_operation_wants_a_token_and_its_scope(world: World, method: str, path: str, scope: str) -> None:
    nobody = await world.ask(method, path, token=None)
    assert (nobody.status, nobody.code) == (401, "unauthorized")
    assert nobody.headers["www-authenticate"] == 'Bearer realm="ordersvc"'
    wrong = await world.ask(method, path, token="wrong")
    assert (wrong.status, wrong.code) == (401, "invalid_token")
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    others = " ".join(each for each in EVERY_SCOPE.split() if each != scope)
    poor = await world.ask(method, path, token=token(others))
    assert (poor.status, poor.code) == (403, "insufficient_scope")
    assert f'scope="{scope}"' in poor.headers["www-authenticate"]
    for enough in (scope, "admin"):
        assert (await world.ask(method, path, token=token(enough))).status not in (401, 403)


async def test_a_missing_scope_is_told_before_what_is_not_there(world: World) -> None:
    answered = await world.ask("GET", "/api/orders/no-such", token=token("orders:write"))
    assert answered.status == 403


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json", "/docs", "/asyncapi.json"])
async def test_some_pages_are_open(world: World, path: str) -> None:
    assert (await world.ask("GET", path, token=None)).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["\ud800"]}, {"crit": ["a\udfff", "\0"]}, {"crit": "\ud800"}, {"crit": [["\ud800"]]}, {"crit": ["b64"], "b64": False},
        {"alg": "\ud800"}, {"alg": ["\ud800"]}, {"kid": ["\ud800"]}, {"kid": 10**400}, {"crit": ["x" * 4000]},
    ],
)  # fmt: skip
async def test_a_token_is_refused_whatever_its_header_holds(world: World, header: dict[str, Any]) -> None:
    """What was said of a header with half a character in it could not be written: a bare 500, for whoever has no key at all."""
    for key in (KEY, "of somebody else, which is as long as that one"):
        claims = {"sub": "s", "scope": "admin", "exp": FAR_FUTURE}
        text = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in ({"alg": "HS256", "typ": "JWT"} | header, claims)
        )
        signature = hmac.digest(key.encode(), text.encode(), hashlib.sha256)
        signed = f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        for path in ("/api/orders", f"/api/orders/{ORDER_ID}", "/api/promotions", "/metrics"):
            answered = await world.ask("GET", path, token=signed)
            assert (answered.status, answered.code) == (401, "invalid_token")
