"""From settings to the values that the HTTP API goes by. Pure, but for reading a key set later on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from api.access.jwks import KeySet, fetcher_of
from api.access.security import Authenticator, TokenRules
from api.services import ApiLimits
from settings import Settings


def limits_of(config: Settings) -> ApiLimits:
    """What the HTTP API goes by, but for the keys that cursors are signed with, which are in the database.

    Earlier releases signed with what follows from a secret that is given; what they signed is still accepted.
    """
    secret = config.jwt_key.get_secret_value() or config.database_url.get_secret_value()
    return ApiLimits(
        shipping_prices=config.shipping_prices,
        cursor_secrets=(hashlib.sha256(b"cursors\0" + secret.encode()).digest(),),
        rate_limit_per_min=config.rate_limit_per_min,
        body_max_bytes=config.request_body_max_bytes,
        prefer_wait_max_s=config.prefer_wait_max_s,
        statistics_cache_s=config.statistics_cache_s,
        under_way_max_requests=config.http_under_way_max_requests,
        cors_origins=tuple(config.cors_origins),
    )


def authenticator_of(config: Settings) -> Authenticator:
    """Who may come in. Raises ``ValueError`` when there is neither a key nor a key set, or the key is too short."""
    key = config.jwt_key.get_secret_value()
    if not key and not config.jwks_url:
        raise ValueError("set ORDERSVC_JWT_KEY or ORDERSVC_JWKS_URL: without a key no token can be checked")
    key_set = KeySet(fetcher_of(config.jwks_url)) if config.jwks_url else None
    return Authenticator(TokenRules(key=key, issuer=config.jwt_issuer, audience=config.jwt_audience), key_set)


def metrics_folder(config: Settings) -> Path | None:
    """Where several processes of the API keep their figures; None where there is one process only."""
    return None if config.api_processes == 1 else config.state_dir / "api-metrics"
