"""Cursors of lists: where a page ended, signed, and bound to the filters it was made with.

Opaque to clients. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated

import msgspec
from pydantic import StringConstraints

from api.problems import Problem

CURSOR_MAX_CHARACTERS = 512
Cursor = Annotated[str, StringConstraints(max_length=CURSOR_MAX_CHARACTERS)]

_SIGNATURE_BYTES = 16
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(tuple[int, str]).decode


class Cursors:
    """Makes cursors and reads them back."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """``secrets`` are the same in all API processes; the first signs, and cursors signed with any of them are read."""
        self._keys = [hmac.digest(secret, b"ordersvc cursors 1", hashlib.sha256) for secret in secrets]

    def seal(self, filters: object, position: tuple[int, str]) -> str:
        """Make the cursor of a page that ended at ``position``: the sort key (microseconds or minor units), the order
        id.
        """
        content = _encode(position)
        return base64.urlsafe_b64encode(_sign(self._keys[0], filters, content) + content).rstrip(b"=").decode()

    def open(self, filters: object, cursor: str) -> tuple[int, str]:
        """Read a cursor; raises ``Problem`` ``invalid_cursor`` when it is not ours or was made with other filters."""
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            signature, content = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
            if any(hmac.compare_digest(signature, _sign(key, filters, content)) for key in self._keys):
                return _decode(content)
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            pass
        raise Problem("invalid_cursor", "The cursor is not one of ours, or it was made with other filters.")


def _sign(key: bytes, filters: object, content: bytes) -> bytes:
    return hmac.digest(key, _encode(filters) + b"\x00" + content, hashlib.sha256)[:_SIGNATURE_BYTES]
