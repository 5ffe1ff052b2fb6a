"""Flushes that take or give back promotion uses: one transaction around the flush, the promotions' rows locked
first.

The locks come in the order lease, promotions (sorted), orders (sorted), so that batches of several shards never
wait in a ring.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.postgres import Connection
from storage.writes.commits import Commit
from storage.writes.flush_statement import flush_once, turned

LEASE = "select from leases where process = $1 and token = $2 for share"
LOCK = "select lock_promotions($1)"
HELD = """
select w.order_id::text, w.code from unnest($1::uuid[], $2::text[]) as w (order_id, code)
where exists (
    select from promotion_uses u where u.order_id = w.order_id and lower(u.code collate "C") = lower(w.code collate "C"))
"""
CLAIM = "select refused_order::text, refusal from claim_promotions($1, $2, $3)"
RELEASE = "select release_promotions($1, $2)"


async def flush_with_promotion_uses(
    connection: Connection, process: str, token: str, commits: Sequence[Commit]
) -> tuple[bool, frozenset[str], frozenset[str], dict[str, str]]:
    """Flush the orders that got what they claim: does the lease stand, what was committed, what is outdated, who was
    refused with which code.

    Errors are the driver's; any of them undoes all of it.
    """
    promotion_uses = [(c.order.id, code, customer) for c in commits for code, customer in c.promotion_uses]
    releases = [(c.order.id, code) for c in commits for code in c.releases]
    async with connection.transaction():
        if await connection.fetchrow(LEASE, process, token) is None:
            return False, frozenset(), frozenset(), {}
        await connection.execute(LOCK, sorted({code for _, code, _ in promotion_uses} | {code for _, code in releases}))
        refused = {}
        if promotion_uses:
            # What an order has by an earlier commit is not claimed again, so that it can't be given back with what is.
            held = set(
                map(tuple, await connection.fetch(HELD, *turned([(i, code) for i, code, _ in promotion_uses], 2)))
            )
            promotion_uses = [use for use in promotion_uses if use[:2] not in held]
        if promotion_uses:
            rows = await connection.fetch(CLAIM, *turned(promotion_uses, 3))
            refused = {row[0]: row[1] for row in rows}
        granted = [c for c in commits if c.order.id not in refused]
        owned, committed, outdated = await flush_once(connection, process, token, granted)
        given_back = [(order_id, code) for order_id, code in releases if order_id in committed]
        # Claimed for nothing: the order was not at the version that was decided on.
        given_back += [(i, code) for i, code, _ in promotion_uses if i not in committed and i not in refused]
        if given_back:
            await connection.execute(RELEASE, *turned(given_back, 2))
    return owned, committed, outdated, refused
