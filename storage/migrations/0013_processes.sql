-- The directory: a row for each process of the service that lives. Who looks for a process reads it, so that nobody has to ask Ray.

create table processes (
    process    uuid not null,
    name       text not null,
    kind       text not null,
    cell       text not null,
    node       text not null,
    release    text not null,
    host       text,
    port       integer,
    pid        integer not null,
    state      text not null,
    seen_at    timestamptz not null default clock_timestamp(),
    started_at timestamptz not null default clock_timestamp(),
    constraint a_process_has_one_row primary key (process),
    constraint the_state_is_a_known_one check (state in ('starting', 'serving', 'standby', 'draining')),
    constraint who_can_be_called_says_where check (state = 'starting' or (host is not null and port is not null))
) with (fillfactor = 50);
comment on constraint the_state_is_a_known_one on processes is 'The states of a process; see ProcessState.';
comment on constraint who_can_be_called_says_where on processes is 'A process that has started listens, and others find it by this row.';
comment on table processes is 'Written by each process for itself, every few seconds; what was not seen for long is pruned.';
comment on column processes.process is 'One incarnation: a process that is started again has another one, and its old row stays until it is pruned.';
comment on column processes.seen_at is 'When the process last said that it lives, by the clock of this database.';

create index processes_by_name on processes (cell, name, started_at desc);
