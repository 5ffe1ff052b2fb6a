"""A database as years of a shop leave it: statuses, amounts, currencies, products and durations as unequal as they are there.

Like ``filled.py`` it copies one order by SQL; but what lists and statistics look at differs from row to row, reckoned from the
order's own number, so that two fills are alike. Snapshots stay the template's: a list reads them whatever is in them.
"""

from __future__ import annotations

import asyncpg

from benchmarks.filled import CHUNK_ORDERS, COLUMNS, DELIVERED, store_template

SECONDS_BETWEEN = 30
SKUS_IN_ALL = 2000
CUSTOMERS_IN_ALL = 40_000
RARE_SKU = "rare-sku"
BIG_CUSTOMER = "load-customer-0"

# Orders of the last four days, and a few of any age, are under way; the others are closed. Six dice of each order's number
# decide the rest: a few statuses are had by a handful of orders, amounts are log-normal, one product in four is the first.
VALUES = """
with dice as (
    select n, gen_random_uuid() as id, now() - make_interval(secs => n * {every}) as at,
        (hashint8extended(n, 1) & 1048575) / 1048576.0 as r1, (hashint8extended(n, 2) & 1048575) / 1048576.0 as r2,
        (hashint8extended(n, 3) & 1048575) / 1048576.0 as r3, (hashint8extended(n, 4) & 1048575) / 1048576.0 as r4,
        (hashint8extended(n, 5) & 1048575) / 1048576.0 as r5, (hashint8extended(n, 6) & 1048575) / 1048576.0 as r6
    from generate_series($2::bigint, $3::bigint) n
), staged as (
    select *, case
        when n * {every} < 4 * 86400 or r1 < 0.002 then case
            when r2 < 0.002 then 'created' when r2 < 0.05 then 'validated' when r2 < 0.051 then 'paid'
            when r2 < 0.052 then 'confirmed' when r2 < 0.35 then 'prepared' when r2 < 0.9995 then 'shipped'
            else 'cancelling' end
        when r1 < 0.08 then 'cancelled' else 'delivered' end as status
    from dice
), told as (
    select *, case
            when status in ('delivered', 'shipped') and r3 < 0.002 then 'partially_refunded'
            when status = 'cancelled' then case when r3 < 0.6 then 'unpaid' else 'refunded' end
            when status = 'created' then 'unpaid'
            when status = 'validated' then case
                when r3 < 0.9 then 'unpaid' when r3 < 0.98 then 'pending' when r3 < 0.99 then 'in_doubt' else 'partially_paid' end
            else 'paid' end as payment_status,
        500 + exp(7.5 + 1.1 * (r4 + r5 + r6 - 1.5) * 2)::bigint as total,
        case when r5 < 0.7 then 'EUR' when r5 < 0.85 then 'USD' when r5 < 0.93 then 'GBP' when r5 < 0.98 then 'JPY' else 'KWD' end
            as currency,
        case when r6 < 0.02 then '{big}' else 'load-customer-' || 1 + floor(r6 * {customers})::bigint end as customer_id,
        array(select distinct case when n % 300007 = 5 and i = 0 then '{rare}'
                else 'load-sku-' || floor({skus} * pow((hashint8extended(n, 10 + i) & 1048575) / 1048576.0, 4))::bigint end
            from generate_series(0, (n % 3)::integer) i) as skus
    from staged
), made as materialized (
    select *, at + make_interval(secs => 0.05 + r1 * 0.4) as validated_at,
        case when payment_status not in ('unpaid', 'pending', 'in_doubt') then total else 0 end as paid,
        case payment_status when 'refunded' then total when 'partially_refunded' then total / 4 else 0 end as refunded
    from told
)"""
# What differs from the template's row; times follow from the one before.
OVERRIDES = {
    "id": "m.id",
    "slice": "(crc32(convert_to(m.id::text, 'UTF8')) & 1023)::smallint",
    "number": "case when m.paid > 0 then 'ORD-' || (200000000 + m.n)::text end",
    "customer_id": "m.customer_id",
    "currency": "m.currency",
    "status": "m.status",
    "payment_status": "m.payment_status",
    "fulfillment_status": "case when m.status in ('shipped', 'delivered') then m.status else 'unfulfilled' end",
    "total": "m.total",
    "paid": "m.paid",
    "refunded": "m.refunded",
    "skus": "m.skus",
    "attempts": "case when m.payment_status = 'unpaid' then 0 else 1 + (m.r4 < 0.05)::integer end",
    "rejected": "case when m.payment_status = 'unpaid' then 0 else (m.r4 < 0.05)::integer end",
    "is_open": "m.status not in ('delivered', 'cancelled')",
    "deadline": "case when m.status = 'validated' then m.at + interval '30 minutes' end",
    "check_at": "case when m.status not in ('delivered', 'cancelled') then m.at + interval '30 minutes' end",
    "needs_attention": "m.status not in ('delivered', 'cancelled') and m.r4 < 0.005",
    "cancel_reason": "case when m.status = 'cancelled' then "
    "(array['expired', 'customer', 'out_of_stock', 'staff', 'validation_failed'])[1 + floor(m.r2 * m.r2 * 5)::integer] end",
    "created_at": "m.at",
    "updated_at": "m.at",
    "validated_at": "case when m.status <> 'created' then m.validated_at end",
    "paid_at": "case when m.paid > 0 then m.validated_at + make_interval(secs => 5 + 1200 * m.r2 * m.r2) end",
    "confirmed_at": "case when m.paid > 0 then m.validated_at + make_interval(secs => 5.02 + 1200 * m.r2 * m.r2) end",
    "prepared_at": "case when m.paid > 0 then m.validated_at + make_interval(secs => 5.1 + m.r3 + 1200 * m.r2 * m.r2) end",
    "shipped_at": "case when m.status in ('shipped', 'delivered') then m.at + make_interval(hours => 1, secs => 86400 * m.r3) end",
    "delivered_at": "case when m.status = 'delivered' then m.at + make_interval(hours => 30, secs => 200000 * m.r4) end",
    "cancelled_at": "case when m.status = 'cancelled' then m.at + make_interval(secs => 1800 + 86400 * m.r4) end",
}


async def fill_varied(dsn: str, orders: int, *, seconds_between: int = SECONDS_BETWEEN) -> None:
    """Store ``orders`` orders, one each ``seconds_between`` back from now. The schema must be there."""
    template = await store_template(dsn, DELIVERED)
    values = VALUES.format(
        every=seconds_between, skus=SKUS_IN_ALL, customers=CUSTOMERS_IN_ALL, rare=RARE_SKU, big=BIG_CUSTOMER
    )
    connection = await asyncpg.connect(dsn)
    try:
        columns = [row["column_name"] for row in await connection.fetch(COLUMNS)]
        chosen = ", ".join(OVERRIDES.get(name, f"o.{name}") for name in columns)
        copy = f"""
{values}, sold as (
    insert into order_skus (sku, created_at, order_id) select sku, m.at, m.id from made m, unnest(m.skus) sku
)
insert into orders ({", ".join(columns)}) select {chosen} from orders o cross join made m where o.id = $1
"""  # noqa: S608  names of columns only
        for first in range(0, orders, CHUNK_ORDERS):
            await connection.execute(copy, template.id, first, min(first + CHUNK_ORDERS, orders) - 1)
        await connection.execute("delete from order_skus where order_id = $1", template.id)
        await connection.execute("delete from orders where id = $1", template.id)
        await connection.execute("vacuum analyze orders, order_skus")
    finally:
        await connection.close()
