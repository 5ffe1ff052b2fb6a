-- What requests with an idempotency key were answered about things that no order's actor owns: promotions, dead letters.
-- (An order's own are in its inbox.)

create table answers (
    id          uuid not null,
    fingerprint text not null,
    answer      bytea not null,
    at          timestamptz not null default clock_timestamp(),
    constraint a_key_is_answered_once primary key (id)
);
comment on constraint a_key_is_answered_once on answers is 'L9: what comes under a key that is answered already changes nothing.';
comment on table answers is
    'An answer is written by the statement that does what it tells, so that neither is there without the other.';
comment on column answers.fingerprint is 'Digest of the request, by which a repeat is told from another use of the key.';

create index answers_by_age on answers (at);
