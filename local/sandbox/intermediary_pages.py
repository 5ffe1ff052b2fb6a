"""Answers of something that stands between us and a partner: a proxy, a gateway, a login page, a deployment under way."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from local.sandbox.injected_faults import InjectedFault

CODE: Final = "no_upstream"  # a code that no operation of any partner names
ELSEWHERE: Final = "/sandbox/health"  # answers 200 with JSON to a client that follows


def page(fault: InjectedFault) -> web.Response:
    """Make the answer that an injected fault with the effect ``page`` or ``do_and_page`` describes."""
    status = fault.page_status
    match fault.content:
        case "json":
            body = msgspec.json.encode({"error": f"upstream said {status}"})
            return web.Response(body=body, status=status, content_type="application/json")
        case "problem":
            body = msgspec.json.encode({"status": status, "code": fault.code or CODE, "detail": "said by a gateway"})
            return web.Response(body=body, status=status, content_type="application/problem+json")
        case "empty":
            return web.Response(status=status)
        case "html" | "redirect":
            headers = {"Location": ELSEWHERE} if fault.content == "redirect" else {}
            text = f"<!doctype html><html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
            return web.Response(text=text, status=status, content_type="text/html", headers=headers)
