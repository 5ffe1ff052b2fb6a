-- A day that is counted anew is counted in pieces, each in a transaction of its own (storage/figures.py): a day of hundreds of
-- thousands of orders takes longer than a statement may, and whoever marks the day waits for its row meanwhile.

create table figures_recounts (
    day         timestamptz primary key,
    begun_at    timestamptz not null default clock_timestamp(),
    until       timestamptz not null,
    counted_to  timestamptz not null,
    mark        text not null
);
comment on table figures_recounts is
    'How far the counting of a day of figures_stale has come. The day stays there until it is counted to its end.';
comment on column figures_recounts.until is 'figures_counted.until at the beginning: what closed later is added by who moves that on.';
comment on column figures_recounts.counted_to is 'Orders created before this are in the figures.';
comment on column figures_recounts.mark is
    'Which transaction had marked the day (xmin of its row in figures_stale). Another one has changed an order since: begin anew.';
