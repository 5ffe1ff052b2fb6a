"""Identifiers that follow from the order's id and what they are for, so that deciding twice gives the same ids.

Nothing here is random: a decision that was lost before its commit and made again asks partners with the ids of the
first.
"""

from __future__ import annotations

import re
from hashlib import sha1, sha256
from uuid import UUID

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def uuid_text(text: str) -> str:
    """A UUID as it is compared, in lower case; any other text as it is."""
    return text.lower() if _UUID.fullmatch(text) else text


def derived_id(order_id: str, purpose: str) -> str:
    """Give the UUID text (version 8, RFC 9562) that belongs to ``purpose`` within the order."""
    return _uuid_text(sha256(f"{order_id}/{purpose}".encode()).digest(), 8)


def named_id(namespace: UUID, name: str) -> str:
    """Give the UUID text of a name (version 5, RFC 9562), as ``uuid.uuid5`` does, at a fifth of its cost."""
    return _uuid_text(sha1(namespace.bytes + name.encode()).digest(), 5)  # noqa: S324 - the RFC's own choice, no secret


def _uuid_text(digest: bytes, version: int) -> str:
    """Give the first 16 bytes as a UUID's text, with version and variant in their places."""
    octets = bytearray(digest[:16])
    octets[6] = octets[6] & 0x0F | version << 4
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def item_id(order_id: str, sequence: int) -> str:
    """Give the id of the ``sequence``-th line that the order ever had."""
    return derived_id(order_id, f"item/{sequence}")


def payment_id(order_id: str, sequence: int) -> str:
    """Give the id of the ``sequence``-th attempt to collect money."""
    return derived_id(order_id, f"payment/{sequence}")


def refund_id(order_id: str, sequence: int) -> str:
    """Give the id of the order's ``sequence``-th refund, counted over all its payments."""
    return derived_id(order_id, f"refund/{sequence}")


def shipment_id(order_id: str, sequence: int) -> str:
    """Give the id of the ``sequence``-th parcel."""
    return derived_id(order_id, f"shipment/{sequence}")


def charge_transaction_id(order_id: str, charged_payment_id: str) -> str:
    """Give the id of the ledger entry for the money a payment took: one a payment, even if its event comes twice."""
    return derived_id(order_id, f"charge/{charged_payment_id}")


def correction_transaction_id(order_id: str, charged_payment_id: str) -> str:
    """Give the id of the ledger entry for what staff say a mismatched payment took besides: one a payment."""
    return derived_id(order_id, f"corrected/{charged_payment_id}")


def refund_transaction_id(order_id: str, given_refund_id: str) -> str:
    """Give the id of the ledger entry for the money a refund gave back."""
    return derived_id(order_id, f"refunded/{given_refund_id}")
