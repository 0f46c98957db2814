-- Breakers that people have taken out of their own hands.

create table booking.breaker_modes (
    gateway text not null,
    operation text not null,
    mode text not null check (mode in ('open', 'closed')),
    -- why, and who
    reason text not null,
    set_by text not null,
    set_at timestamptz not null default now(),
    -- from then on the breaker is its own again; null: until somebody says so
    until timestamptz,
    primary key (gateway, operation)
);

-- What sagas wait for, for those who count them.
create or replace view engine.saga_states as
    select saga_id, definition, version, state, step, waiting_on, failure_code, tags, created_at, updated_at,
           finished_at, deadline_at, wait_reason
    from engine.sagas;
