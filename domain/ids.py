"""Identifiers that follow from the order's id and what they are for, so that deciding twice gives the same ids.

Nothing here is random: a decision that was lost before its commit and made again asks partners with the ids of the
first.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

_VERSION_MASK, _VERSION_8 = ~(0xF << 76), 8 << 76
_VARIANT_MASK, _VARIANT_RFC = ~(0x3 << 62), 2 << 62


def derived_id(order_id: str, purpose: str) -> str:
    """Give the UUID text (version 8, RFC 9562) that belongs to ``purpose`` within the order."""
    digest = sha256(f"{order_id}/{purpose}".encode()).digest()
    bits = int.from_bytes(digest[:16], "big")
    bits = bits & _VERSION_MASK | _VERSION_8
    return str(UUID(int=bits & _VARIANT_MASK | _VARIANT_RFC))


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
    """Give the id of the ledger entry for the money a payment took: one a payment, whatever comes twice."""
    return derived_id(order_id, f"charge/{charged_payment_id}")


def refund_transaction_id(order_id: str, given_refund_id: str) -> str:
    """Give the id of the ledger entry for the money a refund gave back."""
    return derived_id(order_id, f"refunded/{given_refund_id}")
