"""Answers whose documents are bytes already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from api.access.conditional import is_unmodified
from api.http.request_state import Header

encode = msgspec.json.Encoder().encode


def json_response(status: int, document: bytes, *headers: Header) -> Response:
    """Answer with a JSON document that is encoded already."""
    response = Response(document, status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response


def tagged_response(if_none_match: str | None, document: bytes, *, media_type: str = "application/json") -> Response:
    """Answer with a document whose entity tag is a digest of it; 304 where ``If-None-Match`` names that."""
    tag = hashlib.blake2b(document, digest_size=16).hexdigest()
    header = (b"etag", f'"{tag}"'.encode())
    if is_unmodified(if_none_match, tag):
        return not_modified(header)
    response = Response(document, media_type=media_type)
    response.raw_headers.append(header)
    return response


def not_modified(tag: Header) -> Response:
    """Say that what the client has is still so."""
    response = Response(status_code=304)
    response.raw_headers.append(tag)
    return response


def page_of(data: Sequence[dict[str, Any]], cursor: str | None) -> bytes:
    """Give a page of a list; ``cursor`` leads to the next one, where there is one."""
    return encode({"data": data, "page": {"next_cursor": cursor, "has_more": cursor is not None}})


def etag(version: int) -> Header:
    """The header that has an order's version."""
    return (b"etag", b'"%d"' % version)
