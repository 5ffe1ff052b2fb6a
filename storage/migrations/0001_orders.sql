-- The tables of the flush path. A life of an order is about seven commits, so what costs is said here:
--   * an index is paid for by every update that changes one of its columns (or of its predicate), because that update then
--     enters the row anew in every index of the table. So no index mentions a column that changes with every commit;
--   * snapshots, events and replies are stored as given (no compression, inline up to a page): they live for seconds or are
--     written once, and compressing costs more than it saves.

-- Epochs are unique for ever, over all groups: a row of `owners` may be deleted without an old owner becoming valid again.
create sequence epochs;

create table owners (
    grp       text primary key,
    epoch     bigint not null,
    shard     text not null,
    taken_at  timestamptz not null
) with (fillfactor = 50);
comment on table owners is
    'L8: who bumped the epoch of a group owns it. Every flush locks its row "for share where epoch = mine" and is void otherwise.';

create table orders (
    id                  uuid primary key,
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    deadline            timestamptz,
    check_at            timestamptz,
    total               bigint not null,
    paid                bigint not null,
    refunded            bigint not null,
    validated_at        timestamptz,
    paid_at             timestamptz,
    confirmed_at        timestamptz,
    prepared_at         timestamptz,
    shipped_at          timestamptz,
    delivered_at        timestamptz,
    cancelled_at        timestamptz,
    version             integer not null,
    event_seq           integer not null,
    slice               smallint not null,
    schema_number       smallint not null,
    attempts            smallint not null,
    rejected            smallint not null,
    needs_attention     boolean not null,
    is_open             boolean not null,
    is_running          boolean not null,
    currency            text not null,
    status              text not null,
    payment_status      text not null,
    fulfillment_status  text not null,
    customer_id         text not null,
    cancel_reason       text,
    number              text,
    dedicated_group     text,
    set_aside           text,
    skus                text[] not null,
    snapshot            bytea not null,
    constraint slice_is_one_of_1024 check (slice between 0 and 1023),
    constraint version_begins_at_1 check (version >= 1),
    constraint amounts_are_not_negative check (total >= 0 and paid >= 0 and refunded >= 0),
    constraint no_more_is_given_back_than_was_taken check (refunded <= paid),
    constraint closed_orders_wait_for_nothing check (is_open or (deadline is null and not is_running)),
    constraint status_is_known check (status in
        ('created', 'validated', 'paid', 'confirmed', 'prepared', 'shipped', 'delivered', 'cancelling', 'cancelled'))
) with (fillfactor = 60, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);
alter table orders alter column snapshot set storage external;

comment on column orders.check_at is
    'L11: never later than the deadline. It is the indexed one, and it stays as it is while deadlines move on behind it; who '
    'polls puts it right once it has come. So a deadline that changes with every commit costs no index entry.';
comment on column orders.is_running is 'A step waits for a partner''s answer: whoever takes the order over makes the call again.';
comment on column orders.dedicated_group is 'The group that owns this one order alone; null: the group of its slice does.';
comment on column orders.set_aside is 'Why nothing is done about the order: its snapshot can''t be read, or its commit can''t be written.';
comment on constraint slice_is_one_of_1024 on orders is 'L8: each order is in exactly one slice for ever, so that exactly one group owns it.';
comment on constraint version_begins_at_1 on orders is 'L6: versions have no gap, and begin at 1.';
comment on constraint amounts_are_not_negative on orders is 'L2: money is counted up; what is given back is counted apart.';
comment on constraint no_more_is_given_back_than_was_taken on orders is 'L2: refunds never exceed what was paid.';
comment on constraint closed_orders_wait_for_nothing on orders is 'L5: an order that is closed has neither a deadline nor a step; one that has is not closed.';
comment on constraint status_is_known on orders is 'L6: only the states of the contract.';

create unique index order_number_is_given_once on orders (number) where number is not null;
comment on index order_number_is_given_once is 'An order number names one order (spec.md, stage 4).';
create index orders_by_time on orders (created_at, id);
create index orders_of_customer on orders (customer_id, created_at, id);
create index orders_by_total on orders (total, id);
create index orders_open on orders (created_at, id) where is_open;
create index orders_in_need on orders (created_at, id) where needs_attention;
create index orders_to_check on orders (check_at, id) where check_at is not null;

create table order_skus (
    sku         text not null,
    created_at  timestamptz not null,
    order_id    uuid not null,
    primary key (sku, created_at, order_id)
);
comment on table order_skus is
    'Which orders have, or once had, a line of a sku, in the order of lists. orders.skus says which have it now.';

create table order_events (
    order_id    uuid not null,
    at          timestamptz not null,
    seq         integer not null,
    version     integer not null,
    type        text not null,
    actor_type  text not null,
    actor_id    text not null,
    body        bytea not null,
    notice      bytea,
    constraint order_seq_is_unique primary key (order_id, seq),
    constraint seq_begins_at_1 check (seq >= 1)
) with (toast_tuple_target = 8160);
alter table order_events alter column body set storage external;
alter table order_events alter column notice set storage external;
comment on table order_events is 'The timeline, written once and never changed. body and notice are CloudEvents in JSON (UTF-8).';
comment on constraint order_seq_is_unique on order_events is 'L6: an order''s events are numbered without repeats.';
comment on constraint seq_begins_at_1 on order_events is 'L6: an order''s events are numbered from 1.';

create table unpublished_events (
    order_id  uuid not null,
    at        timestamptz not null,
    seq       integer not null,
    slice     smallint not null,
    primary key (order_id, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
comment on table unpublished_events is
    'L7: written with its event, deleted when the broker has confirmed it. A row of a few bytes that is deleted costs less '
    'than a flag in the event, which would write the whole event a second time.';

create table inbox (
    order_id     uuid not null,
    at           timestamptz not null,
    is_creation  boolean not null,
    message_id   text not null,
    fingerprint  text not null,
    reply        bytea,
    constraint message_has_effect_once primary key (order_id, message_id)
) with (toast_tuple_target = 8160);
alter table inbox alter column reply set storage external;
create index inbox_by_age on inbox using brin (at) with (pages_per_range = 32);
comment on constraint message_has_effect_once on inbox is
    'L9: a message changes an order at most once; the second commit of the same id fails as a whole.';
comment on column inbox.is_creation is 'The answer of a creation is kept as long as the order.';

create table transactions (
    order_id        uuid not null,
    transaction_id  uuid not null,
    payment_id      uuid not null,
    refund_id       uuid,
    amount          bigint not null,
    at              timestamptz not null,
    type            text not null,
    currency        text not null,
    constraint money_is_entered_once primary key (order_id, transaction_id),
    constraint ledger_amounts_are_positive check (amount >= 0),
    constraint refunds_name_their_refund check ((type = 'refund') = (refund_id is not null) and type in ('charge', 'refund'))
);
comment on table transactions is 'The ledger of money: append-only.';
comment on constraint money_is_entered_once on transactions is
    'L2: the id follows from the payment or refund it is for, so one charge a payment and one entry a refund.';
comment on constraint ledger_amounts_are_positive on transactions is 'L2: the type says which way money went, the amount how much.';
comment on constraint refunds_name_their_refund on transactions is 'L2: money that went back went back under an id.';

create table order_numbers (
    is_the_one_row  boolean primary key default true check (is_the_one_row),
    next            bigint not null
);
insert into order_numbers (next) values (1);
comment on table order_numbers is
    'The next order number that nobody has taken. Shards take blocks, in a transaction: a number is given once, with gaps.';
