-- One act on many sagas: planned, then carried out at a rate, with one result for each.

create table booking.batches (
    batch_id uuid primary key,
    act text not null,
    -- which sagas, as a person has asked for them
    filter jsonb not null,
    reason text not null,
    state text not null default 'planned',
    planned_by text not null,
    planned_at timestamptz not null default now(),
    -- in whose name the acts are recorded, and from where
    started_by text,
    address text,
    started_at timestamptz,
    finished_at timestamptz,
    -- why it came to its end before it was through
    end_reason text,
    rate_per_second integer not null check (rate_per_second > 0),
    -- how many sagas may be on their way at once
    concurrency integer not null check (concurrency > 0),
    abort_at_failure_permille integer check (abort_at_failure_permille between 1 and 1000),
    -- until when its rate is used up
    turned_at timestamptz,
    constraint batch_state_known check (state in ('planned', 'running', 'paused', 'completed', 'aborted')),
    constraint batch_begun_by_somebody check
        ((state = 'planned') = (started_by is null) and (started_by is null) = (started_at is null)),
    constraint batch_end_has_time check ((state in ('completed', 'aborted')) = (finished_at is not null)),
    constraint abort_has_reason check ((state = 'aborted') = (end_reason is not null))
);
create index batches_running on booking.batches (batch_id) where state = 'running';

-- The sagas of a batch, as its plan has found them: none is added and none leaves.
create table booking.batch_items (
    batch_id uuid not null references booking.batches on delete cascade,
    position integer not null,
    saga_id uuid not null,
    -- where it stood; the act is refused when it has moved since
    seq bigint not null,
    step text,
    -- what the plan says that the act would do, or why it would not
    verdict text not null,
    state text not null,
    -- why nothing was done
    detail text,
    acting_since timestamptz,
    -- the act's entry in the saga's journal
    acted_seq bigint,
    primary key (batch_id, position),
    constraint saga_once_per_batch unique (batch_id, saga_id),
    constraint batch_item_state_known check
        (state in ('waiting', 'acting', 'acted', 'fixed', 'failedAgain', 'notAttempted')),
    constraint acting_since_a_time check (state <> 'acting' or acting_since is not null),
    constraint acted_has_entry check (state not in ('acted', 'fixed', 'failedAgain') or acted_seq is not null)
);
create index batch_items_open on booking.batch_items (batch_id, position) where state in ('waiting', 'acting');
create index batch_items_acted on booking.batch_items (saga_id) where state = 'acted';

-- For those who wait for what comes of an act.
create or replace view engine.saga_states as
    select saga_id, definition, version, state, step, waiting_on, failure_code, tags, created_at, updated_at,
           finished_at, deadline_at, wait_reason, seq
    from engine.sagas;
