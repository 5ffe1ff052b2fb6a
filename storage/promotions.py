"""Promotions as staff see them: making, changing, listing. Uses are claimed and given back by flushes, not here."""

from __future__ import annotations

from collections.abc import Sequence

from domain.promotions import Promotion, PromotionKind
from storage.postgres import Database, Record

FIND = "select * from promotions where code = any($1::text[])"


async def find_promotions(database: Database, codes: Sequence[str]) -> tuple[Promotion, ...]:
    """The promotions that exist among ``codes``. Raises ``StorageUnavailable``."""
    return tuple(promotion_of(row) for row in await database.fetch(FIND, list(codes)))


def promotion_of(row: Record) -> Promotion:
    """A row of ``promotions`` as a value."""
    return Promotion(
        code=row["code"],
        kind=PromotionKind(row["kind"]),
        fraction=row["fraction"],
        amount=row["amount"],
        currency=row["currency"],
        buy_quantity=row["buy_quantity"],
        get_quantity=row["get_quantity"],
        skus=tuple(row["skus"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        min_subtotal=row["min_subtotal"],
        max_uses=row["max_uses"],
        max_uses_per_customer=row["max_uses_per_customer"],
        combinable=row["combinable"],
        active=row["active"],
    )
