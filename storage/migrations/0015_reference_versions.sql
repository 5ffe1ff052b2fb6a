-- The highest version of each product and customer that an event told of. An event is acknowledged once its version is here, and a flush
-- refuses to validate an order with anything older (flush.py). Nothing writes or reads products, product_versions and customers any more.

create table reference_versions (
    kind     text not null,  -- 'product' or 'customer'
    key      text not null,
    version  bigint not null,
    primary key (kind, key)
);
insert into reference_versions (kind, key, version)
select 'product', sku, version from product_versions
union all
select 'customer', customer_id, version from customers;
