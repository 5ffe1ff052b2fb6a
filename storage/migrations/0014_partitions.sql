-- An order that is being given a process to itself just now is seen below, or its shard is refused.
lock table owners in exclusive mode;

-- Who owns which orders. An order is in the partition of its slice (slice modulo 64), for ever, or in one of its own while it has
-- a process to itself (orders.dedicated_group, 'order-<id>').
create table leases (
    process  uuid primary key references processes on delete cascade,
    token    uuid not null
) with (fillfactor = 50);
comment on table leases is
    'L8: a shard''s right to write. Every flush locks its row "for share where token = mine" and is void otherwise. The token is '
    'replaced by whoever takes a partition from the process, before the partition''s row, and by the process itself where it has '
    'to find out what became of a statement.';

create table partitions (
    partition  text primary key,
    process    uuid references processes on delete set null
) with (fillfactor = 50);
create index partitions_of_process on partitions (process);
comment on table partitions is 'L8: which process owns the orders of a partition; null: nobody does, and the first that sees it takes it.';
insert into partitions (partition) select k::text from generate_series(0, 63) as k;
insert into partitions (partition) select dedicated_group from orders where dedicated_group is not null;

-- What shards of a cell are to do, where that is not what its settings say.
create table shard_roles (
    cell  text not null,
    name  text not null,
    role  text not null,
    primary key (cell, name),
    constraint role_is_known check (role in ('serving', 'standby', 'draining'))
);
comment on constraint role_is_known on shard_roles is 'L8: what a shard is to do with its partitions: own some, stand by, or give all away.';

-- A shard of the release before, that still runs, writes nothing from now on, and can take nothing.
update owners set epoch = nextval('epochs');
create function refuse_owners() returns trigger language plpgsql as $$
begin
    raise exception 'owners is not used any more: this database belongs to a later release (partitions)';
end
$$;
create trigger owners_are_of_the_past before insert or update or delete or truncate on owners
    for each statement execute function refuse_owners();
