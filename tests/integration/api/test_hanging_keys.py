"""An identity provider that hangs or answers strangely, over real connections: tokens that are known don't wait for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.access.jwks import KeySet, fetcher_of
from api.access.security import Authenticator, TokenRules
from api.problems import Problem
from domain.errors import Unavailable
from tests.unit.api.harness import FAR_FUTURE, KEY, token

OWN = Ed25519PrivateKey.generate()
NEW = Ed25519PrivateKey.generate()


def signed(key: Ed25519PrivateKey, kid: str) -> str:
    return "Bearer " + jwt.encode({"sub": kid, "exp": FAR_FUTURE}, key, algorithm="EdDSA", headers={"kid": kid})


def public(key: Ed25519PrivateKey, kid: str) -> dict[str, Any]:
    return {**jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}


class Provider:
    """``go_on`` unset: it takes requests and does not answer. ``redirects``: it sends them elsewhere. ``asked`` counts them."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.keys = [public(OWN, "own")]
        self.redirects = False
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                provider.go_on.wait(60)
                if provider.redirects and self.path == "/keys":
                    self.send_response(302)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": provider.keys}).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.go_on.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


async def asked(provider: Provider, times: int) -> None:
    async with asyncio.timeout(10):
        while provider.asked < times:
            await asyncio.sleep(0.01)


def authenticator(provider: Provider, clock: Clock, wait_max_s: float = 0.2) -> Authenticator:
    key_set = KeySet(fetcher_of(provider.url), wait_max_s=wait_max_s, clock=clock)
    return Authenticator(TokenRules(key=KEY, remembered_max_tokens=1, remembered_max_s=0), key_set)


async def test_known_tokens_do_not_wait_for_a_provider_that_hangs(provider: Provider) -> None:
    """Every five seconds one reading held up all tokens for three."""
    clock = Clock()
    known = authenticator(provider, clock)
    assert (await known.caller(signed(OWN, "own"))).subject == "own"
    provider.go_on.clear()
    clock.now += 400  # the set has grown old
    # Neither answer could come while somebody waits for the provider: it answers when the test ends.
    assert (await known.caller(signed(OWN, "own"))).subject == "own"
    await asked(provider, 2)
    assert (await known.caller(signed(OWN, "own"))).subject == "own"
    assert (await known.caller(f"Bearer {token()}")).subject == "tester"
    assert provider.asked == 2


async def test_a_key_that_is_not_known_is_told_as_not_now_while_the_provider_hangs(provider: Provider) -> None:
    clock = Clock()
    known = authenticator(provider, clock)
    assert (await known.caller(signed(OWN, "own"))).subject == "own"
    clock.now += 10
    provider.go_on.clear()
    told = await asyncio.gather(
        *(known.caller(signed(NEW, f"new-{n}")) for n in range(20)),
        *(known.caller(signed(OWN, "own")) for _ in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(each, Unavailable) for each in told[:20])
    assert all(not isinstance(each, BaseException) for each in told[20:])
    assert provider.asked == 2


async def test_a_new_key_is_found_once_the_provider_answers_again(provider: Provider) -> None:
    clock = Clock()
    known = authenticator(provider, clock, wait_max_s=10.0)
    with pytest.raises(Problem, match="invalid_token"):
        await known.caller(signed(NEW, "new"))
    provider.keys.append(public(NEW, "new"))
    clock.now += 10
    assert (await known.caller(signed(NEW, "new"))).subject == "new"


async def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.redirects = True
    with pytest.raises(Unavailable, match="keys_unavailable"):
        await authenticator(provider, Clock(), wait_max_s=10.0).caller(signed(OWN, "own"))
    assert provider.asked == 1
