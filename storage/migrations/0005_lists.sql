-- What lists need so that a rare value is found among millions of orders, without an index that mentions a column which changes
-- with every commit: such an index would take every update of an order into every index of the table.
-- So the indexed copies of the two statuses stay null while an order passes through what every order passes through. They change
-- when it is closed, which enters the row anew anyway, or when it becomes what few orders ever are. The database derives them,
-- so code that does not know of them keeps them right. The table is written anew once.

alter table orders
    add column listed_status text generated always as (
        case when status = 'cancelling' or not is_open then status end) stored,
    add column listed_payment_status text generated always as (
        case when not is_open or payment_status in ('in_doubt', 'partially_paid', 'refunded', 'partially_refunded')
            then payment_status end) stored;
comment on column orders.listed_status is
    'The status of orders that are cancelling or closed, else null. Whoever looks for another status looks among the open ones.';
comment on column orders.listed_payment_status is
    'The payment status of orders that are closed or have one that few ever have, else null. Whoever looks for another one '
    'looks here for the closed orders, and among the open ones.';

create index orders_by_status on orders (listed_status, created_at, id) where listed_status is not null;
create index orders_by_payment on orders (listed_payment_status, created_at, id) where listed_payment_status is not null;
