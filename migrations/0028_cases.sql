-- Cases: what needs a person, together with everything else that needs one for the same reason.
--
-- A row is one saga, or one thing that is no saga, in a case. The case itself has no row: it is its open rows, and its
-- name is made of what they have in common. So nobody waits for anybody when ten thousand sagas join the same case.

alter table engine.cases
    alter column saga_id drop not null,
    alter column definition drop not null,
    -- which half of its step it stands in
    add column lane text,
    -- whom the step was calling
    add column gateway text,
    -- what it is about where that is no saga that was stopped by it
    add column subject text,
    -- the saga that shows it
    add column shown_by uuid,
    add column group_id uuid not null generated always as (md5(
        cause || '/' || coalesce(definition, '') || '/' || coalesce(step, '') || '/' || coalesce(lane, '') || '/'
        || coalesce(code, '') || '/' || coalesce(gateway, ''))::uuid) stored,
    drop constraint cause_known,
    add constraint cause_known check (cause in
        ('exhausted', 'refused', 'worker-lost', 'definition-unknown', 'killed', 'invariant',
         'in-doubt', 'past-deadline', 'no-progress', 'webhook-unmatched')),
    add constraint case_lane_known check (lane in ('forward', 'compensation')),
    add constraint case_is_about_something check ((saga_id is null) = (subject is not null)),
    add constraint case_is_shown_by_another check (shown_by is null or saga_id is null);
create unique index one_open_case_per_subject on engine.cases (cause, subject)
    where closed_at is null and subject is not null;
create index cases_open on engine.cases (group_id, opened_at) where closed_at is null;
create index cases_by_time on engine.cases (opened_at);

-- Cases that somebody was told of, so that it is once.
create table engine.case_notices (
    group_id uuid primary key,
    told_at timestamptz not null,
    -- since when nothing is in it any more; it may come back for a while without being told of again
    empty_since timestamptz
);

-- For others to read.
create view engine.open_cases as
    select group_id, cause, gateway, saga_id, subject, coalesce(saga_id, shown_by) as looked_at, opened_at
    from engine.cases
    where closed_at is null;

-- What a saga has come to since it last got anywhere. What a person does, or a signal, is not yet that anything was done;
-- to wait for the other side is.
create function engine.standing(saga uuid)
    returns table (progress_at timestamptz, tried_in_vain boolean, doubt_since timestamptz, gateway text)
language sql stable
begin atomic
    select since.progress_at, told.tried_in_vain, doubt.since, told.gateway
    from (
        select max(seq) as progress_seq, max(at) as progress_at from engine.journal
        where saga_id = saga and kind = any (array['started', 'succeeded', 'waits', 'compensating'])
    ) as since
    cross join lateral (
        select coalesce(bool_or(kind = any (array['failed', 'inDoubt', 'parked']) and seq > since.progress_seq), false)
                   as tried_in_vain,
               (array_agg(coalesce(entry #>> '{intent,gateway}', entry #>> '{note,gateway}') order by seq desc)
                    filter (where entry #> '{intent,gateway}' is not null or entry #> '{note,gateway}' is not null))[1]
                   as gateway
        from engine.journal where saga_id = saga
    ) as told
    cross join lateral (
        -- until the same half of the step has come to something, or the step is done or taken back
        select min(d.at) as since from engine.journal d
        where d.saga_id = saga and d.kind = 'inDoubt' and not exists (
            select from engine.journal later
            where later.saga_id = saga and later.seq > d.seq and later.step = d.step
              and (later.kind = 'succeeded'
                   or later.kind = any (array['failed', 'waits']) and later.entry -> 'lane' = d.entry -> 'lane'))
    ) as doubt;
end;

-- Whether its pivot may be done, by itself or by the saga that it was forked from: from there on its deadline has no say.
create function engine.past_pivot(saga uuid, name text, version integer) returns boolean
language sql stable
begin atomic
    select exists (
        select from engine.definitions d
        cross join lateral jsonb_array_elements(d.document -> 'steps') as part (step)
        join engine.journal j on j.saga_id = past_pivot.saga
        where d.name = past_pivot.name and d.version = past_pivot.version and part.step -> 'pivot' = 'true'
          and (j.step = part.step ->> 'step' and j.kind = any (array['intended', 'inDoubt', 'succeeded'])
               or j.kind = 'forkedFrom' and j.entry -> 'steps' ? (part.step ->> 'step')));
end;

-- Those who look after us are told in a line of their own: nobody waits for their server, and they for no other.
alter table engine.outbox
    drop constraint outbox_destination_known,
    add constraint outbox_destination_known check (destination in ('inside', 'outside', 'operators'));

-- What may never be, of all live sagas and of the history since the saga `first`. A case that a saga has while it goes on
-- owes it its wake-up all the same.
create function engine.violations_since(first uuid)
    returns table (invariant text, subject text, detail text)
language sql stable
begin atomic
    select 'saga-is-looked-after', s.saga_id::text, s.state || ' without a wake-up, a case or a pause'
    from engine.sagas s
    -- the second condition is the index's own
    where s.state = any (array['running', 'waiting', 'compensating', 'stuck']) and s.state <> 'completed'
      and not exists (select from engine.ready r where r.saga_id = s.saga_id)
      and not (s.state = 'stuck'
          and exists (select from engine.cases c where c.saga_id = s.saga_id and c.closed_at is null))
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
    where s.saga_id >= violations_since.first and (s.seq is distinct from j.seq or j.entries <> j.seq)
    union all
    select 'history-has-room', m.day::date::text, 'engine.' || m.parent || ' has no partition for this day'
    from engine.missing_partitions m;
end;
create or replace view engine.violations as
    select invariant, subject, detail from engine.violations_since('00000000-0000-0000-0000-000000000000');

-- The new table and view, for the processes.
select engine.grant_to_processes();
