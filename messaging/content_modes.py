"""The modes in which a CloudEvent comes over AMQP: structured (one JSON document) or binary (attributes in headers, data in the body).

CloudEvents 1.0, AMQP protocol binding, part 3. It separates the modes and gives the attributes of the binary one; what they mean is
read elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

STRUCTURED = "application/cloudevents"
BATCHED = "application/cloudevents-batch"
BEYOND_TIME = "0000-01-01T00:00:00Z"

_prefix = re.compile(r"cloudevents[:_]", re.IGNORECASE)
_json_type = re.compile(r"\s*[a-z]+/([a-z0-9.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)


def is_json(media_type: str) -> bool:
    """Whether it names JSON, with parameters or without."""
    return _json_type.fullmatch(media_type) is not None


def is_batched(content_type: str | None) -> bool:
    """Whether the body is several events, which the AMQP binding does not have."""
    return _kind(content_type).startswith(BATCHED)


def is_binary(content_type: str | None, headers: Mapping[str, Any]) -> bool:
    """Whether the attributes are in the headers; a content type of CloudEvents says that they are not."""
    return not _kind(content_type).startswith(STRUCTURED) and any(is_attribute(name) for name in headers)


def is_attribute(name: str) -> bool:
    """Whether a header is an attribute of the binary mode."""
    return _prefix.match(name) is not None


def attributes_of(content_type: str | None, headers: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes by name, of which some may have AMQP's types; ``datacontenttype`` is the message's content type."""
    attributes = {
        name[match.end() :].lower(): _text(value)
        for name, value in headers.items()
        if (match := _prefix.match(name)) is not None
    }
    if content_type:
        attributes["datacontenttype"] = content_type
    if "time" in attributes and attributes["time"] is None:
        attributes["time"] = BEYOND_TIME  # an AMQP time that no calendar has (``decoding.py``)
    return attributes


def _text(value: Any) -> Any:
    """The canonical text of a CloudEvents value; what can't be one is left as it is, for the attribute to refuse."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _kind(content_type: str | None) -> str:
    return (content_type or "").strip().lower()
