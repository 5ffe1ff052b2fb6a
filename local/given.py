"""The URLs that were given instead of a private server: used as they stand, so somebody must answer there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

from local.children import answers
from local.errors import NotReady
from settings import Settings

ANSWER_LIMIT_S = 3.0
PORTS = {"postgresql": 5432, "postgres": 5432, "amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
PORTS_OF_THE_WEB = {"http": 80, "https": 443}


def given_urls(config: Settings) -> dict[str, str]:
    """Setting -> URL, only those that were given; Ray's address becomes a URL."""
    ray = config.ray_address
    urls = {
        "DATABASE_URL": config.database_url.get_secret_value(),
        "AMQP_URL": config.amqp_url.get_secret_value(),
        "REDIS_URL": config.redis_url.get_secret_value(),
        "PRODUCT_URL": config.product_url,
        "PAYMENT_URL": config.payment_url,
        "USER_URL": config.user_url,
        "JWKS_URL": config.jwks_url,
        "RAY_ADDRESS": ray if not ray or "://" in ray else f"ray://{ray}",
    }
    return {name: url for name, url in urls.items() if url}


def host_and_port(url: str) -> tuple[str, int]:
    """Where a URL points; port 0 where it names none and its scheme has none. Raises ``ValueError``."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or {**PORTS, **PORTS_OF_THE_WEB}.get(parts.scheme, 0)


async def check_given(urls: dict[str, str]) -> None:
    """Raise ``NotReady`` naming every setting at whose URL nobody accepts a connection; passwords are not shown."""
    silent = [text for text in await asyncio.gather(*(_complaint(name, url) for name, url in urls.items())) if text]
    if silent:
        raise NotReady("\n".join(silent))


async def _complaint(name: str, url: str) -> str:
    if name == "JWKS_URL" and urlsplit(url).scheme in ("", "file"):
        path = Path(urlsplit(url).path)
        return "" if os.access(path, os.R_OK) and path.is_file() else f"ORDERSVC_{name}: no file can be read at {path}"
    try:
        host, port = host_and_port(url)
    except ValueError:
        return f"ORDERSVC_{name} is not a URL"
    if await answers(host, port, limit_s=ANSWER_LIMIT_S) is not None:
        return ""
    return f"ORDERSVC_{name} is set, but nothing answers at {host}:{port}"
