-- What runs by itself (sweeps, polls, pruning) finds its few rows among tens of millions, whatever piles up beside them.
-- docs/queries.md lists those statements; tests/integration/storage/test_by_itself.py holds them to it.

-- The sweep takes the oldest of each slice of its group: without the slice in front, it would read through the backlog of every
-- other group, and without the age, through all of its own.
create index unpublished_events_by_age on unpublished_events (slice, at);

-- Answers of creations are kept as long as their orders, so they fill the old pages: ranges of pages tell nothing of what may go.
create index inbox_to_forget on inbox (at) where not is_creation;
drop index inbox_by_age;

-- An order that is set aside has nothing to be checked, and would stay at the head of what polls read.
update orders set check_at = null where needs_attention and set_aside is not null;
comment on column orders.check_at is
    'L11: never later than the deadline. It is the indexed one, and it stays as it is while deadlines move on behind it; who '
    'polls puts it right once it has come. So a deadline that changes with every commit costs no index entry. Null while the '
    'order is set aside.';
