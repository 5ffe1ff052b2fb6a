-- Copies of what ProductSvc and UserSvc say, for when Redis has forgotten them. They are never the authority.

create table products (
    sku         text not null,
    currency    text not null,
    version     bigint not null,
    fetched_at  timestamptz not null,
    unit_price  bigint not null,
    available   bigint not null,
    sellable    boolean not null,
    name        text not null,
    tax_rate    text not null,
    primary key (sku, currency)
);
create table product_versions (
    sku      text primary key,
    version  bigint not null
);
comment on table product_versions is
    'The highest version an event told of: a copy that is older is neither accepted nor given (spec.md, "Lines").';

create table customers (
    customer_id  text primary key,
    version      bigint not null,
    fetched_at   timestamptz,
    name         text,
    email        text,
    status       text,
    addresses    bytea
);
comment on column customers.version is
    'The highest version heard of. The other columns are null while nothing but an event has told of the customer.';
