"""An identity provider: it signs tokens with keys of its own and shows the public ones, unless it is away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Key = rsa.RSAPrivateKey | Ed25519PrivateKey
MAKE: dict[str, Callable[[], Key]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": Ed25519PrivateKey.generate,
}


class IdentityProvider:
    """``is_away``: its key set is answered with 503. ``url`` is where the key set is."""

    def __init__(self, issuer: str, audience: str) -> None:
        self.is_away = True
        self.issuer = issuer
        self.audience = audience
        self._keys: dict[str, tuple[str, Key]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = provider.key_set()
                self.send_response(503 if provider.is_away else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="identity", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, key_id: str, algorithm: str) -> None:
        """Make a key, and show its public half from now on."""
        self._keys[key_id] = algorithm, MAKE[algorithm]()

    def drop(self, key_id: str) -> None:
        """Show a key no longer."""
        del self._keys[key_id]

    def key_set(self) -> bytes:
        """The public keys, as they are shown."""
        return json.dumps({"keys": [self.public(key_id) for key_id in self._keys]}).encode()

    def public(self, key_id: str) -> dict[str, Any]:
        """A public key."""
        algorithm, key = self._keys[key_id]
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        return {**jwk, "kid": key_id, "use": "sig"}

    def token(self, key_id: str, *, named: str = "", **claims: Any) -> str:
        """A token for whoever may read orders; ``named`` is another key that it names; a claim of None is left out."""
        algorithm, key = self._keys[key_id]
        told = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": "somebody",
            "scope": "orders:read",
            "exp": int(time.time()) + 600,
        }
        told = {name: value for name, value in (told | claims).items() if value is not None}
        return jwt.encode(told, key, algorithm=algorithm, headers={"kid": named or key_id})
