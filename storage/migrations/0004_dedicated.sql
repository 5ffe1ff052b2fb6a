-- The supervisor looks now and then at the few orders that have a process to themselves.
create index orders_dedicated on orders (dedicated_group) where dedicated_group is not null;
