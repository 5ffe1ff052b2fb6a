"""Where load may go: to this machine only. Loading somebody else's service is an attack, whatever was meant."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


class NotLoopback(ValueError):
    """The address is not this machine's own."""


def require_loopback(url: str) -> str:
    """Give the URL back when its host is this machine; raises ``NotLoopback`` otherwise."""
    host = urlsplit(url).hostname or ""
    if host != "localhost":
        try:
            inside = ip_address(host).is_loopback
        except ValueError:
            inside = False
        if not inside:
            raise NotLoopback(f"load tests go to this machine only, not to {host!r}")
    return url


def base_of(url: str) -> str:
    """Give scheme, host and port of a URL: the partners may have paths of their own on one server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
