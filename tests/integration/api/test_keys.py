from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.access.jwks import KeySet, fetcher_of
from api.access.security import Authenticator, TokenRules
from domain.errors import Unavailable

KEY = Ed25519PrivateKey.generate()
TOKEN = "Bearer " + jwt.encode({"sub": "s", "exp": 4_102_444_800}, KEY, algorithm="EdDSA", headers={"kid": "k"})


def key_set_bytes() -> bytes:
    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [{**jwk, "kid": "k"}]}).encode()


@pytest.fixture
def key_set_url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(key_set_bytes())

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    thread.join()
    server.server_close()


async def subject_by(location: str) -> str:
    return (await Authenticator(TokenRules(), KeySet(fetcher_of(location))).caller(TOKEN)).subject


async def test_keys_are_read_from_a_server(key_set_url: str) -> None:
    assert await subject_by(key_set_url) == "s"


async def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_bytes())
    assert await subject_by(str(path)) == "s"
    assert await subject_by(path.as_uri()) == "s"


@pytest.mark.parametrize("content", [None, b"nonsense", b"[]", b'{"keys": 1}', b'{"keys": [1]}'])
async def test_keys_that_can_not_be_read_let_nobody_in_and_say_come_again(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable, match="keys_unavailable"):
        await subject_by(str(path))
