-- History that is older than the retention is dropped, a week at a time. What a week is needed for, and what a saga's
-- id means once its week is gone, is in docs/journal.md.

-- The moment that a UUIDv7 was made at: engine.uuid_at the other way round.
create function engine.moment_of(id uuid) returns timestamptz
language sql immutable parallel safe
return to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- Weeks that were dropped. One row a week, kept for ever: an id in here was a finished saga's.
create table engine.dropped_weeks (
    -- the first id that is gone, and the first that is not
    first_id uuid primary key,
    after_id uuid not null,
    dropped_at timestamptz not null default clock_timestamp(),
    constraint week_is_not_empty check (first_id < after_id)
);

-- For others to read: whether this saga went with its week.
create function engine.was_dropped(saga uuid) returns boolean
language sql stable parallel safe
return exists (select from engine.dropped_weeks d where saga >= d.first_id and saga < d.after_id);

-- The history's partitions, by what their bounds say, whoever made them and whatever they are called.
create view engine.partitions as
select p.relname::text as parent, c.oid as partition, bounds[1]::uuid as first_id, bounds[2]::uuid as after_id
from pg_inherits i
join pg_class p on p.oid = i.inhparent
join pg_class c on c.oid = i.inhrelid
cross join lateral regexp_match(
    pg_get_expr(c.relpartbound, c.oid), $$FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)$$) as bounds
where i.inhparent in ('engine.sagas'::regclass, 'engine.journal'::regclass);

-- Weeks that both tables have.
create view engine.weeks as
select s.first_id, s.after_id, s.partition as sagas, j.partition as journal
from engine.partitions s
join engine.partitions j on j.first_id = s.first_id and j.after_id = s.after_id
where s.parent = 'sagas' and j.parent = 'journal';

-- Who still needs the sagas from `first` until before `after`: no row when nobody does.
create function engine.week_is_needed(first uuid, after uuid) returns table (why text, saga_id uuid)
language sql stable
begin atomic
    (select 'is not finished', s.saga_id from engine.sagas s
     where s.saga_id >= first and s.saga_id < after
        and s.state in ('running', 'waiting', 'paused', 'compensating', 'stuck')
     limit 1)
    union all
    -- what a kill left behind is somebody's work
    (select 'has an open case', c.saga_id from engine.cases c
     where c.closed_at is null and c.saga_id >= first and c.saga_id < after
     limit 1)
    union all
    -- the same start again must find it
    (select 'has a start key', k.saga_id from engine.start_keys k
     -- a key is as old as its saga; the day allows for clocks that differ. The index is on the age alone.
     where k.created_at < engine.moment_of(after) + interval '1 day'
        and k.saga_id >= first and k.saga_id < after
     limit 1)
    union all
    -- the last two are mistakes of ours, and no reason to make them worse
    (select 'is waited for', w.child_id from engine.child_waits w
     where w.child_id >= first and w.child_id < after
     limit 1)
    union all
    (select 'has a wake-up', r.saga_id from engine.ready r
     where r.saga_id >= first and r.saga_id < after
     limit 1);
end;

-- Drops the week with these bounds, both tables together, unless somebody needs it: then one row says who. Whoever
-- else uses the tables at this moment goes first: it waits for no lock for long, because everybody would have to wait
-- behind it, and is tried again.
create function engine.drop_week(first uuid, after uuid) returns table (why text, saga_id uuid)
language plpgsql set lock_timeout = '200ms' as $$
declare
    week engine.weeks;
begin
    -- two at once: the second finds nothing to do
    perform pg_advisory_xact_lock(hashtext('engine.drop_week'));
    select * into week from engine.weeks w where w.first_id = first and w.after_id = after;
    if not found then
        return;
    end if;
    -- nobody writes here while it is looked at: what is finished stays finished, and nothing is added
    execute format('lock table %s, %s in share row exclusive mode', week.journal::regclass, week.sagas::regclass);
    return query select * from engine.week_is_needed(first, after) limit 1;
    if found then
        return;
    end if;
    execute format('drop table %s, %s', week.journal::regclass, week.sagas::regclass);
    insert into engine.dropped_weeks (first_id, after_id) values (first, after)
        on conflict (first_id) do update set after_id = greatest(dropped_weeks.after_id, excluded.after_id);
end $$;

-- As before, but without a lock that stops everybody: a table that is made first and attached then stops nobody who
-- reads or writes the others.
create or replace function engine.make_partitions(since timestamptz, until timestamptz) returns integer
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
                execute format('create table engine.%I (like engine.%I including defaults including constraints)',
                    name, parent);
                execute format('alter table engine.%I attach partition engine.%I for values from (%L) to (%L)',
                    parent, name, engine.uuid_at(week), engine.uuid_at(week + interval '7 days'));
                made := made + 1;
            end if;
        end loop;
        week := week + interval '7 days';
    end loop;
    return made;
end $$;
-- A week more than the two that must be there, so that none is missing between two runs.
select engine.make_partitions(now() - interval '1 day', now() + interval '21 days');

-- Days of the coming two weeks whose sagas could not be written.
create view engine.missing_partitions as
select parent.name as parent, day
from unnest(array['sagas', 'journal']) as parent(name)
cross join generate_series(now(), now() + interval '14 days', interval '1 day') as day
where not exists (
    select from engine.partitions p
    where p.parent = parent.name and engine.uuid_at(day) >= p.first_id and engine.uuid_at(day) < p.after_id);

create or replace view engine.violations as
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
    where s.seq is distinct from j.seq or j.entries <> j.seq
    union all
    select 'history-has-room', m.day::date::text, 'engine.' || m.parent || ' has no partition for this day'
    from engine.missing_partitions m;

-- An order outlives its saga.
create or replace view booking.violations as
with books as (
    -- an order and the sagas that move its money: its own and those of its refunds. A saga that was dropped with its
    -- week had finished long before
    select o.order_id, o.status, o.total_minor, o.hold_id,
        coalesce(own.state, case when engine.was_dropped(o.saga_id) then 'dropped' end) as saga_state,
        (own.finished_at is not null or (own.saga_id is null and engine.was_dropped(o.saga_id)))
        and not exists (
            select from booking.refunds r
            left join engine.saga_states s on s.saga_id = r.saga_id
            where r.order_id = o.order_id and s.finished_at is null and s.saga_id is not null
        ) as at_rest
    from booking.orders o
    left join engine.saga_states own on own.saga_id = o.saga_id
), money as (
    select p.order_id, sum(p.captured_minor - p.refunded_minor)::bigint as kept_minor
    from booking.payments p
    group by p.order_id
), worth as (
    select t.order_id, sum(s.price_minor)::bigint as live_minor
    from booking.tickets t
    join booking.seats s on s.event_id = t.event_id and s.seat_id = t.seat_id
    where t.revoked_at is null
    group by t.order_id
), by_amount as (
    select r.order_id, sum(r.amount_minor)::bigint as refunded_minor
    from booking.refunds r
    where r.state = 'succeeded' and cardinality(r.seat_ids) = 0
    group by r.order_id
)
select 'invariant-1'::text as invariant, kind || ' ' || object as subject, detail
from booking.seat_violations
union all
-- a live ticket's seat is sold to its order
select 'invariant-1', 'ticket ' || t.ticket_id, format('seat %s of event %s is not its order''s', t.seat_id, t.event_id)
from booking.tickets t
left join booking.seats s on s.event_id = t.event_id and s.seat_id = t.seat_id
where t.revoked_at is null and s.order_id is distinct from t.order_id
union all
-- at rest, what is kept is the price of the live tickets, less what was refunded by amount
select 'invariant-2', 'order ' || b.order_id,
    format('%s kept, tickets worth %s, %s refunded by amount',
        coalesce(m.kept_minor, 0), coalesce(w.live_minor, 0), coalesce(a.refunded_minor, 0))
from books b
left join money m using (order_id)
left join worth w using (order_id)
left join by_amount a using (order_id)
where b.at_rest and b.saga_state <> 'killed' and (b.saga_state, b.status) <> ('dropped', 'attention')
    and coalesce(m.kept_minor, 0)
        <> coalesce(w.live_minor, 0)
            - case when w.live_minor is null then 0 else coalesce(a.refunded_minor, 0) end
union all
-- all on one gateway
select 'invariant-2', 'order ' || p.order_id, 'money is kept at ' || string_agg(distinct p.gateway, ', ')
from booking.payments p
join books b on b.order_id = p.order_id
where b.at_rest and p.captured_minor > p.refunded_minor
group by p.order_id
having count(*) > 1
union all
-- at rest, the order says how it ended
select 'invariant-2', 'order ' || b.order_id, format('is %s while its saga is %s', b.status, b.saga_state)
from books b
where b.at_rest
    and case b.saga_state
        when 'completed' then b.status not in ('confirmed', 'cancelled', 'attention')
        when 'compensated' then b.status not in ('rejected', 'cancelled')
        when 'dropped' then b.status not in ('confirmed', 'cancelled', 'rejected', 'attention')
        else b.status <> 'attention'
    end
union all
-- the sum of the refunds is what their payment says
select 'invariant-3', 'payment ' || p.payment_id,
    format('%s refunded, %s in its refunds', p.refunded_minor, coalesce(sum(r.amount_minor), 0))
from booking.payments p
left join booking.refunds r on r.payment_id = p.payment_id and r.state = 'succeeded'
group by p.payment_id
having p.refunded_minor <> coalesce(sum(r.amount_minor), 0)
union all
-- a finished saga leaves no hold behind (what a kill leaves is a case)
select 'invariant-5', 'order ' || b.order_id, 'its hold is still ' || h.state
from books b
join booking.holds h on h.hold_id = b.hold_id
where b.saga_state in ('completed', 'compensated') and h.state in ('active', 'ordered') and h.expires_at > now()
union all
-- and no charge that is not definite
select 'invariant-5', 'payment ' || p.payment_id, 'is still ' || p.status
from booking.payments p
join books b on b.order_id = p.order_id
where b.saga_state in ('completed', 'compensated') and p.status in ('pending', 'inDoubt')
union all
-- and no refund either
select 'invariant-5', 'refund ' || r.refund_id, 'is still ' || r.state
from booking.refunds r
join engine.saga_states s on s.saga_id = r.saga_id
where s.state in ('completed', 'compensated') and r.state not in ('succeeded', 'failed', 'rejected')
union all
-- an order has its saga
select 'invariant-5', 'order ' || b.order_id, 'its saga does not exist'
from books b
where b.saga_state is null;
