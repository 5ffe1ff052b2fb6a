-- Figures of closed orders, counted in the background, so that statistics need not read every order (docs/decisions/0004).
-- They hold all orders whose closing (delivered_at, else cancelled_at) is not after figures_counted.until, but for those created on
-- a day of figures_stale: these are read from orders until their day has been counted anew. Days and hours are UTC, those of
-- an order's creation.

create table figures_counted (
    is_the_one_row  boolean primary key default true check (is_the_one_row),
    until           timestamptz not null
);
insert into figures_counted (until) values ('-infinity');

create table figures_by_hour (
    hour           timestamptz not null,
    orders         bigint not null,
    paying         bigint not null,
    attempts       bigint not null,
    rejected       bigint not null,
    revenue        bigint not null,
    currency       text not null,
    status         text not null,
    cancel_reason  text not null,
    primary key (hour, currency, status, cancel_reason)
);
comment on column figures_by_hour.paying is 'Orders that were paid for at all.';
comment on column figures_by_hour.cancel_reason is 'Empty where there is none.';

create table figures_of_stages (
    day      timestamptz not null,
    took_ms  bigint not null,
    orders   bigint not null,
    stage    text not null,
    primary key (day, stage, took_ms)
);
comment on column figures_of_stages.took_ms is 'Rounded: 63 stays 63, above it a duration is off by at most 1.6 %.';

create table figures_of_skus (
    day       timestamptz not null,
    orders    bigint not null,
    revenue   bigint not null,
    sku       text not null,
    currency  text not null,
    primary key (day, sku, currency)
);

create table figures_stale (
    day  timestamptz primary key
);
comment on table figures_stale is
    'Days on which an order changed that may be counted already (money came late). Whoever changes it says so in the same '
    'transaction, and locks the row if it is there: so who counts the day anew sees the change.';

create index orders_by_closing on orders ((coalesce(delivered_at, cancelled_at, 'infinity'::timestamptz))) where not is_open;
comment on index orders_by_closing is 'Orders that were closed lately. Both times are set once, by the commit that closes the order.';
comment on constraint figures_counted_is_the_one_row_check on figures_counted is 'L10: there is one count, so that no order is counted twice.';
