-- The durable engine. Touched by orchestrator/ alone; others read its views.
create schema engine;

-- The first UUIDv7 of a moment: what history is partitioned by.
create function engine.uuid_at(moment timestamptz) returns uuid
language sql immutable strict parallel safe
return (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

create table engine.definitions (
    name text not null,
    version integer not null check (version > 0),
    document jsonb not null,
    -- what a person wrote, for show and diff
    source text not null,
    digest text not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    primary key (name, version),
    constraint definition_known unique (name, digest)
);

create table engine.active_definitions (
    name text primary key,
    version integer not null,
    -- the person who chose it; null: brought along by a binary, and replaced by its newer ones
    chosen_by text,
    reason text,
    activated_at timestamptz not null default now(),
    foreign key (name, version) references engine.definitions (name, version)
);

-- A saga's projection: the fold of its journal, written in the same transaction.
create table engine.sagas (
    saga_id uuid primary key,
    definition text not null,
    version integer not null,
    state text not null,
    -- the step that is next, running, waited in or stuck at; null when finished
    step text,
    seq bigint not null,
    -- what must happen next: worker, gateway, timer, signal, person, nothing
    waiting_on text not null,
    wait_reason text,
    -- the failure that made it stuck or compensate
    failure_code text,
    priority smallint not null,
    tags jsonb not null default '{}',
    parent_id uuid,
    starts_at timestamptz not null,
    deadline_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz,
    constraint state_known check (state in
        ('running', 'waiting', 'paused', 'compensating', 'completed', 'compensated', 'stuck', 'killed')),
    constraint finished_has_time check
        ((state in ('completed', 'compensated', 'killed')) = (finished_at is not null)),
    constraint waiting_on_known check
        (waiting_on in ('worker', 'gateway', 'timer', 'signal', 'person', 'nothing'))
) partition by range (saga_id);
create index sagas_by_definition on engine.sagas (definition, state, saga_id desc);
create index sagas_by_state on engine.sagas (state, saga_id desc);
create index sagas_by_tags on engine.sagas using gin (tags jsonb_path_ops);

-- What happened to a saga: append-only, and the truth.
create table engine.journal (
    saga_id uuid not null,
    seq bigint not null check (seq > 0),
    at timestamptz not null,
    kind text not null,
    step text,
    attempt integer,
    entry jsonb not null,
    -- the move that wrote it: tells ours from another's when a COMMIT is settled by writing again
    move_id uuid not null,
    primary key (saga_id, seq)
) partition by range (saga_id);

create function engine.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger journal_is_append_only before update on engine.journal
    for each row execute function engine.refuse_change();

-- Weekly partitions of the history, from the week of `since` to the one of `until`. Idempotent.
create function engine.make_partitions(since timestamptz, until timestamptz) returns integer
language plpgsql as $$
declare
    week timestamptz := date_trunc('week', since at time zone 'utc') at time zone 'utc';
    made integer := 0;
    parent text;
    name text;
begin
    -- two at once: the second waits and finds nothing to do
    perform pg_advisory_xact_lock(hashtext('engine.make_partitions'));
    while week <= until loop
        foreach parent in array array['sagas', 'journal'] loop
            name := parent || '_' || to_char(week at time zone 'utc', 'YYYYMMDD');
            if to_regclass('engine.' || name) is null then
                execute format('create table engine.%I partition of engine.%I for values from (%L) to (%L)',
                    name, parent, engine.uuid_at(week), engine.uuid_at(week + interval '7 days'));
                made := made + 1;
            end if;
        end loop;
        week := week + interval '7 days';
    end loop;
    return made;
end $$;
select engine.make_partitions(now() - interval '1 day', now() + interval '14 days');

-- The fence: a new token for every claim.
create sequence engine.claim_tokens cache 32;

-- Live sagas that a worker owes something, now or later. Small rows, and what changes often is not indexed.
create table engine.ready (
    saga_id uuid primary key,
    priority smallint not null,
    wake_at timestamptz not null,
    lease_until timestamptz not null default '-infinity',
    -- null: nobody's
    token bigint,
    worker text,
    -- claims since the journal last grew
    claims integer not null default 0
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
create index ready_by_time on engine.ready (priority desc, wake_at);

-- One start per key, for as long as the key lives.
create table engine.start_keys (
    owner text not null,
    key text not null,
    saga_id uuid not null,
    -- of definition, version and input: the same key with another body is a conflict
    digest text not null,
    created_at timestamptz not null default now(),
    primary key (owner, key)
);
create index start_keys_by_age on engine.start_keys (created_at);

-- What must reach somebody else at least once.
create table engine.outbox (
    message_id uuid primary key,
    topic text not null,
    payload jsonb not null,
    due_at timestamptz not null default now(),
    attempts integer not null default 0,
    last_error text,
    state text not null default 'waiting',
    created_at timestamptz not null default now(),
    constraint outbox_state_known check (state in ('waiting', 'dead'))
) with (fillfactor = 70);
create index outbox_by_time on engine.outbox (due_at) where state = 'waiting';

-- What made a saga need a person.
create table engine.cases (
    case_id uuid primary key,
    saga_id uuid not null,
    cause text not null,
    definition text not null,
    step text,
    code text,
    message text not null,
    opened_at timestamptz not null,
    closed_at timestamptz,
    constraint cause_known check (cause in
        ('exhausted', 'refused', 'worker-lost', 'definition-unknown', 'killed', 'invariant'))
);
create unique index one_open_case_per_saga on engine.cases (saga_id) where closed_at is null;

-- Every act of a person, done or refused. Append-only.
create table engine.acts (
    act_id uuid primary key,
    at timestamptz not null default now(),
    actor text not null,
    act text not null,
    object text not null,
    seq bigint,
    digest text,
    outcome text not null check (outcome in ('done', 'refused')),
    reason text not null,
    -- why it was refused; what it answered
    detail jsonb not null default '{}',
    address text
);
create trigger acts_are_append_only before update or delete on engine.acts
    for each row execute function engine.refuse_change();
create index acts_by_object on engine.acts (object, at);
create unique index same_act_once on engine.acts (actor, act, object, seq, digest)
    where outcome = 'done' and seq is not null;

-- Periodic work is claimed by one process.
create table engine.schedules (
    name text primary key,
    next_at timestamptz not null,
    last_started_at timestamptz,
    last_finished_at timestamptz
);

-- Sagas that wait for another one's end.
create table engine.child_waits (
    child_id uuid not null,
    parent_id uuid not null,
    key text not null,
    primary key (child_id, parent_id)
);

-- For others to read.
create view engine.saga_states as
    select saga_id, definition, version, state, step, waiting_on, failure_code, tags, created_at, updated_at,
           finished_at, deadline_at
    from engine.sagas;

-- Invariants: empty when all is well. Names are those of docs/invariants.md.
create view engine.violations as
    select 'saga-is-looked-after' as invariant, s.saga_id::text as subject,
           s.state || ' without a wake-up, a case or a pause' as detail
    from engine.sagas s
    where s.finished_at is null and s.state <> 'paused'
      and not exists (select from engine.ready r where r.saga_id = s.saga_id)
      and not exists (select from engine.cases c where c.saga_id = s.saga_id and c.closed_at is null)
    union all
    select 'finished-saga-rests', r.saga_id::text, s.state || ' but still has a wake-up'
    from engine.ready r join engine.sagas s on s.saga_id = r.saga_id
    where s.finished_at is not null
    union all
    select 'wake-up-has-saga', r.saga_id::text, 'a wake-up of a saga that does not exist'
    from engine.ready r
    where not exists (select from engine.sagas s where s.saga_id = r.saga_id)
    union all
    select 'stuck-saga-has-case', s.saga_id::text, 'stuck without an open case'
    from engine.sagas s
    where s.state = 'stuck'
      and not exists (select from engine.cases c where c.saga_id = s.saga_id and c.closed_at is null)
    union all
    select 'projection-is-current', s.saga_id::text,
           'seq ' || s.seq || ' but the journal ends at ' || coalesce(j.seq, 0)
    from engine.sagas s
    left join lateral (select max(seq) as seq, count(*) as entries from engine.journal j where j.saga_id = s.saga_id) j
        on true
    where s.seq is distinct from j.seq or j.entries <> j.seq;
