-- The key that cursors of lists are signed with: random, the service's own, so that no change of the secrets that it is given
-- makes a cursor worthless. Putting another in its place (or deleting this one and inserting one) does.

create table cursor_keys (
    key bytea not null,
    at  timestamptz not null default clock_timestamp()
);
comment on table cursor_keys is 'The newest signs; each of them is accepted. No key gives access to anything.';

-- gen_random_uuid is the strong source of randomness that PostgreSQL has without an extension: 122 bits each.
insert into cursor_keys (key) values (sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea));
