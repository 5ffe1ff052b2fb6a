-- Copies of what ProductSvc and UserSvc say, for when Redis has forgotten them. They are never the authority.

create table products (
    sku         text not null,
    currency    text not null,
    version     bigint not null,
    fetched_at  timestamptz not null,
    body        bytea not null,
    primary key (sku, currency)
);
create table product_versions (
    sku      text primary key,
    version  bigint not null
);
comment on table product_versions is
    'The highest version an event told of. A copy that is older is not accepted (spec.md, "Lines").';

create table customers (
    customer_id  text primary key,
    version      bigint not null,
    fetched_at   timestamptz,
    body         bytea
);
comment on column customers.version is 'The highest version heard of; body is null while only an event has told of it.';
