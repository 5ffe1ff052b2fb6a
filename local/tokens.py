"""Tokens for trying the service out, signed with the state folder's key. Users get theirs from an identity provider.

./dev token --scope "orders:read orders:write" [--customer c-1001] [--sub someone] [--ttl 3600]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import jwt

from settings import settings_or_exit

DAY_S = 86_400
SUBJECT = "local-developer"


def make_token(
    key: str,
    *,
    scope: str,
    subject: str = SUBJECT,
    customer: str = "",
    ttl_s: int = DAY_S,
    issuer: str = "",
    audience: str = "",
) -> str:
    """A JWT (HS256) with the claims of docs/contract.md, "Access"; ``ttl_s`` seconds from now it is worth nothing."""
    now_s = int(time.time())
    claims: dict[str, str | int] = {"sub": subject, "scope": scope, "iat": now_s, "exp": now_s + ttl_s}
    if customer:
        claims["customer_id"] = customer
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return jwt.encode(claims, key, algorithm="HS256")


def key_of(folder: Path, given: str) -> str:
    """The key that the service checks tokens with: the given one, or the folder's. Raises ``FileNotFoundError``."""
    return given or (folder / "jwt-key.secret").read_text()


def main() -> int:
    """Print a token."""
    parser = argparse.ArgumentParser(
        prog="./dev token", description="Make a token for the service of this state folder."
    )
    parser.add_argument("--scope", required=True, help="space-separated, e.g. 'orders:read orders:write', or 'admin'")
    parser.add_argument("--customer", default="", help="restrict the token to this customer's orders")
    parser.add_argument("--sub", default=SUBJECT, help="whom the token is for")
    parser.add_argument("--ttl", type=int, default=DAY_S, metavar="SECONDS")
    wanted = parser.parse_args()
    config = settings_or_exit()
    try:
        key = key_of(config.state_dir, config.jwt_key.get_secret_value())
    except FileNotFoundError:
        print(f"no key in {config.state_dir}: start the service there first, or set ORDERSVC_JWT_KEY", file=sys.stderr)
        return 2
    except (OSError, UnicodeDecodeError) as error:
        print(f"the key in {config.state_dir} can't be read (ORDERSVC_STATE_DIR): {error}", file=sys.stderr)
        return 2
    print(
        make_token(
            key,
            scope=wanted.scope,
            subject=wanted.sub,
            customer=wanted.customer,
            ttl_s=wanted.ttl,
            issuer=config.jwt_issuer,
            audience=config.jwt_audience,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
