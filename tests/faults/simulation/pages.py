"""What is answered by something between us and a partner: pages of proxies, gateways, login forms and deployments.

None of them is the partner's word: its contract describes no such answer, whatever the status.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Page:
    """One such answer. ``location``: where a redirect leads."""

    status: int
    content_type: str
    body: bytes
    location: str | None = None


def _html(status: int, title: str) -> Page:
    return Page(status, HTML, f"<html><head><title>{title}</title></head><body>{title}</body></html>".encode())


PAGES: Final = (
    _html(404, "Not Found"),
    _html(403, "Forbidden"),
    _html(401, "Authorization Required"),
    _html(400, "The plain HTTP request was sent to HTTPS port"),
    _html(409, "Conflict"),
    _html(410, "Gone"),
    _html(422, "Unprocessable"),
    _html(429, "Slow down"),
    _html(502, "Bad Gateway"),
    _html(200, "Please sign in"),
    Page(302, HTML, b"", "https://login.example/"),
    Page(404, JSON, b'{"message":"no Route matched with those values"}'),
    Page(404, PROBLEM, b'{"status":404,"code":"no_such_route"}'),
    Page(400, PROBLEM, b'{"title":"Bad Request"}'),
    Page(403, PROBLEM, b'{"status":403,"code":"blocked_by_policy"}'),
    Page(409, JSON, b'{"code":"conflict"}'),
    Page(200, JSON, b'{"status":"ok"}'),
    Page(204, "", b""),
)


def any_page(random: Random) -> Page:
    """One of them, each as likely as any other."""
    return random.choice(PAGES)
