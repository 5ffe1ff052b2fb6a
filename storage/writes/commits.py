"""What is handed to a flush and what comes back: values, without SQL."""

from __future__ import annotations

from datetime import datetime

import msgspec

from domain.order import Order
from domain.payments import Transaction
from domain.reference_data import ReferenceVersion


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the timeline, to be published. ``body`` and ``notice`` are CloudEvents in JSON, byte for byte as
    sent; ``notice`` is the request to NotificationSvc that goes with it. ``actor_type`` and ``actor_id``: who
    caused it.
    """

    sequence: int
    type: str
    version: int
    at: datetime
    actor_type: str
    actor_id: str
    body: bytes
    notice: bytes | None


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, to be made durable as a whole or not at all.

    ``base_version`` is the version it was decided on, 0 for a new order. Amounts are minor units. ``message_id``, with
    ``fingerprint`` and ``reply``, is remembered where it is not None. ``promotion_uses``: (code, customer id) of promotion uses
    taken; ``releases``: codes whose use the order gives back. ``reference_versions``: the products and the customer that
    the order is judged by; a newer version that an event announced keeps it from being committed.
    """

    order: Order
    base_version: int
    deadline: datetime | None
    payment_status: str
    fulfillment_status: str
    total: int
    paid: int
    refunded: int
    events: tuple[StoredEvent, ...] = ()
    ledger: tuple[Transaction, ...] = ()
    message_id: str | None = None
    fingerprint: str = ""
    reply: bytes | None = None
    promotion_uses: tuple[tuple[str, str], ...] = ()
    releases: tuple[str, ...] = ()
    reference_versions: tuple[ReferenceVersion, ...] = ()


class FlushResult(msgspec.Struct, frozen=True, kw_only=True):
    """``owned`` False: the token of the lease was replaced; only what stands in ``committed`` was committed before that. Order ids
    throughout.

    ``refused``: a promotion claim was lost (``discount_exhausted``, ``discount_not_found``,
    ``discount_not_active``). ``outdated``: an event announced a newer product or customer. ``poisoned``: what can
    never be committed, and why. An order in none of the four is not what its actor thinks it is.
    """

    owned: bool
    committed: frozenset[str] = frozenset()
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    outdated: frozenset[str] = frozenset()
    poisoned: dict[str, str] = msgspec.field(default_factory=dict)


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of an order. ``order`` is None where the snapshot can't be read; ``undecodable`` then says why.

    ``keys``: the remembered message ids with their fingerprints. ``unpublished``: events by sequence.
    """

    order: Order | None
    undecodable: str | None
    dedicated_group: str | None
    keys: dict[str, str]
    unpublished: tuple[StoredEvent, ...]
