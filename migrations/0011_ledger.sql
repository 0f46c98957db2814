-- The ledger: double entry, append-only. What the accounts and postings mean is in docs/ledger.md.

-- Made when first used, and never renamed.
create table booking.ledger_accounts (
    account_id integer generated always as identity primary key,
    name text not null,
    constraint account_once unique (name),
    constraint account_has_name check (name <> '')
);

-- What happened to money, once.
create table booking.ledger_postings (
    posting_id uuid primary key,
    -- what it is of: the same again posts nothing
    key text not null,
    kind text not null,
    at timestamptz not null default now(),
    -- what it is about, where there is such a thing
    order_id uuid,
    payment_id uuid,
    refund_id uuid,
    gateway text,
    -- the gateway's name for it
    reference text,
    -- why, where a person or a gateway has said so
    reason text,
    constraint posted_once unique (key)
);
create index ledger_postings_by_time on booking.ledger_postings (at, posting_id);
create index ledger_postings_by_order on booking.ledger_postings (order_id) where order_id is not null;
-- how much of a dispute is held or lost
create index ledger_postings_by_dispute on booking.ledger_postings (gateway, reference) where kind like 'dispute%';

-- Debit is positive.
create table booking.ledger_entries (
    posting_id uuid not null,
    -- no foreign keys: their locks would make an account's row a hot one
    account_id integer not null,
    amount_minor bigint not null,
    currency text not null,
    -- its posting's
    at timestamptz not null default now(),
    -- who wrote it: below a snapshot's xmin it is there for good, and may be counted into a total
    xid xid8 not null default pg_current_xact_id(),
    primary key (posting_id, account_id, currency),
    constraint entry_has_money check (amount_minor <> 0),
    constraint entry_has_currency check (currency ~ '^[A-Z]{3}$')
);
create index ledger_entries_by_account on booking.ledger_entries (account_id, at);
create index ledger_entries_by_xid on booking.ledger_entries (xid);

-- What the entries of an account come to, by day (UTC). Of those only that are older than the horizon: no entry is
-- counted here while another transaction could still add one before it.
create table booking.ledger_totals (
    account_id integer not null,
    currency text not null,
    day date not null,
    amount_minor bigint not null,
    primary key (account_id, currency, day)
) with (fillfactor = 80);

-- The first transaction whose entries are not in the totals.
create table booking.ledger_horizon (
    only_one boolean primary key default true,
    xid xid8 not null,
    constraint only_one_horizon check (only_one)
);
insert into booking.ledger_horizon (xid) values ('0');

-- Every posting balances, in each currency; is there before its entries, and has all of them at once.
create function booking.check_ledger_entries() returns trigger
language plpgsql as $$
declare
    wrong record;
begin
    select e.posting_id, e.currency, sum(e.amount_minor) as too_much into wrong
    from new_entries e group by e.posting_id, e.currency having sum(e.amount_minor) <> 0
    limit 1;
    if found then
        raise exception 'posting % does not balance: % % too much', wrong.posting_id, wrong.too_much, wrong.currency
            using errcode = 'check_violation', constraint = 'posting_balances';
    end if;
    select n.posting_id into wrong
    from (select distinct e.posting_id from new_entries e) n
    where not exists (select from booking.ledger_postings p where p.posting_id = n.posting_id)
        or exists (
            select from booking.ledger_entries o
            where o.posting_id = n.posting_id and o.xid <> pg_current_xact_id())
    limit 1;
    if found then
        raise exception 'posting % is not there, or has its entries', wrong.posting_id
            using errcode = 'check_violation', constraint = 'posting_is_written_once';
    end if;
    return null;
end $$;
create trigger ledger_entries_balance after insert on booking.ledger_entries
    referencing new table as new_entries
    for each statement execute function booking.check_ledger_entries();

create function booking.refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger ledger_postings_stay before update or delete or truncate on booking.ledger_postings
    for each statement execute function booking.refuse_change();
create trigger ledger_entries_stay before update or delete or truncate on booking.ledger_entries
    for each statement execute function booking.refuse_change();
create trigger ledger_accounts_stay before delete or truncate on booking.ledger_accounts
    for each statement execute function booking.refuse_change();
-- an account that two make at once is written by both, as it is
create trigger ledger_accounts_keep_names before update on booking.ledger_accounts
    for each row when (old.* is distinct from new.*) execute function booking.refuse_change();

-- Whether what a charge has taken is its order's money: not when the order went on without it, and not when it is
-- something else than was asked for.
create function booking.is_the_orders(p booking.payments, order_currency text) returns boolean
language sql immutable parallel safe
return p.left_behind_at is null and p.captured_minor = p.amount_minor and p.currency = order_currency;

-- What happened before there was a ledger.
create temporary table before_ledger on commit drop as
with charge as (
    select p.payment_id, p.order_id, p.gateway, p.reference, p.currency, p.captured_minor, p.created_at,
        'gateway:' || p.gateway || ':clearing' as clearing,
        case when booking.is_the_orders(p, o.currency) then 'organiser:evt_' || replace(o.event_id::text, '-', '') || ':payable'
            else 'doubt' end as owed_to
    from booking.payments p join booking.orders o using (order_id)
    where p.captured_minor > 0
), refund as (
    select r.refund_id, r.state, r.amount_minor, r.requested_at, r.finished_at, r.reference as refund_reference, r.attempts, c.*
    from booking.refunds r join charge c using (payment_id)
    where r.state <> 'rejected'
), posting as (
    select case owed_to when 'doubt' then 'lateCapture' else 'capture' end as kind,
        'capture:pay_' || replace(payment_id::text, '-', '') as key,
        created_at as at, order_id, payment_id, null::uuid as refund_id, gateway, reference, currency,
        captured_minor as amount_minor, clearing as debit, owed_to as credit
    from charge
    union all
    select 'refundRequested', format('refundRequested:ref_%s:0', replace(refund_id::text, '-', '')),
        requested_at, order_id, payment_id, refund_id, gateway, refund_reference, currency,
        amount_minor, owed_to, 'refunds:inFlight'
    from refund
    union all
    select 'refundSucceeded', format('refundSucceeded:ref_%s:%s', replace(refund_id::text, '-', ''), attempts),
        finished_at, order_id, payment_id, refund_id, gateway, refund_reference, currency,
        amount_minor, 'refunds:inFlight', clearing
    from refund where state = 'succeeded'
    union all
    select 'refundFailed', format('refundFailed:ref_%s:%s', replace(refund_id::text, '-', ''), attempts),
        finished_at, order_id, payment_id, refund_id, gateway, refund_reference, currency,
        amount_minor, 'refunds:inFlight', 'refunds:failed'
    from refund where state = 'failed'
)
select gen_random_uuid() as posting_id, * from posting;

insert into booking.ledger_accounts (name)
select name from (
    select debit as name from before_ledger
    union select credit from before_ledger
    union select unnest(array['refunds:inFlight', 'refunds:failed', 'doubt', 'disputes:lost', 'settlement:differences',
        'settlement:writtenOff'])
) accounts
order by name;
insert into booking.ledger_postings (posting_id, key, kind, at, order_id, payment_id, refund_id, gateway, reference)
select posting_id, key, kind, at, order_id, payment_id, refund_id, gateway, reference from before_ledger;
insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency, at)
select b.posting_id, a.account_id, b.amount_minor, b.currency, b.at
from before_ledger b join booking.ledger_accounts a on a.name = b.debit
union all
select b.posting_id, a.account_id, -b.amount_minor, b.currency, b.at
from before_ledger b join booking.ledger_accounts a on a.name = b.credit;

-- What may never be, in parts, so that each can be changed by itself. Of the ledger: every posting balances, the totals
-- are what their entries come to, and the accounts say of each charge and refund what their rows say.
create view booking.ledger_violations as
with booked as (
    select p.payment_id, p.refund_id, p.kind, a.name as account, e.currency, e.amount_minor
    from booking.ledger_entries e
    join booking.ledger_postings p using (posting_id)
    join booking.ledger_accounts a using (account_id)
), charge as (
    select payment_id, 'gateway:' || gateway || ':clearing' as account, currency,
        captured_minor - refunded_minor as amount_minor
    from booking.payments where captured_minor > 0
), charge_booked as (
    -- disputes and settlements move the same account, and no charge
    select payment_id, account, currency, sum(amount_minor) as amount_minor
    from booked
    where kind in ('capture', 'lateCapture', 'refundSucceeded', 'refundReversed') and account like 'gateway:%:clearing'
    group by payment_id, account, currency
), refund as (
    select refund_id, case state when 'failed' then 'refunds:failed' else 'refunds:inFlight' end as account, currency,
        -amount_minor as amount_minor
    from booking.refunds where state not in ('rejected', 'succeeded')
), refund_booked as (
    select refund_id, account, currency, sum(amount_minor) as amount_minor
    from booked where account in ('refunds:inFlight', 'refunds:failed')
    group by refund_id, account, currency
), counted as (
    select account_id, currency, sum(amount_minor) as amount_minor
    from booking.ledger_totals group by account_id, currency
), entered as (
    select e.account_id, e.currency, sum(e.amount_minor) as amount_minor
    from booking.ledger_entries e
    where e.xid < (select h.xid from booking.ledger_horizon h)
    group by e.account_id, e.currency
)
select 'invariant-3'::text as invariant, 'posting ' || p.posting_id as subject,
    case when e.currency is null then 'has no entries' else format('is %s %s out of balance', sum(e.amount_minor), e.currency)
    end as detail
from booking.ledger_postings p
left join booking.ledger_entries e using (posting_id)
group by p.posting_id, e.currency
having sum(e.amount_minor) is distinct from 0
union all
select 'invariant-3', 'payment ' || payment_id,
    format('has %s %s by its row, %s in %s', coalesce(c.amount_minor, 0), currency, coalesce(b.amount_minor, 0), account)
from charge c full join charge_booked b using (payment_id, account, currency)
where coalesce(c.amount_minor, 0) <> coalesce(b.amount_minor, 0)
union all
select 'invariant-3', 'refund ' || refund_id,
    format('has %s %s by its row, %s in %s', coalesce(r.amount_minor, 0), currency, coalesce(b.amount_minor, 0), account)
from refund r full join refund_booked b using (refund_id, account, currency)
where coalesce(r.amount_minor, 0) <> coalesce(b.amount_minor, 0)
union all
select 'invariant-3', 'account ' || a.name,
    format('has totals of %s %s, entries of %s', coalesce(c.amount_minor, 0), currency, coalesce(e.amount_minor, 0))
from counted c full join entered e using (account_id, currency) join booking.ledger_accounts a using (account_id)
where coalesce(c.amount_minor, 0) <> coalesce(e.amount_minor, 0);

-- Of orders, their charges and refunds: charges that were left behind are no part of their order.
create view booking.order_violations as
with settling as (
    -- orders with a charge that a saga of its own still looks after
    select p.order_id
    from booking.payments p
    join engine.saga_states s on s.tags @> jsonb_build_object('order', 'ord_' || replace(p.order_id::text, '-', ''))
    where s.definition = 'settle-doubt' and s.finished_at is null
), books as (
    -- an order and the sagas that move its money: its own, and those of its refunds and doubts. A saga that was dropped with its
    -- week had finished long before
    select o.order_id, o.status, o.total_minor, o.hold_id,
        coalesce(own.state, case when engine.was_dropped(o.saga_id) then 'dropped' end) as saga_state,
        (own.finished_at is not null or (own.saga_id is null and engine.was_dropped(o.saga_id)))
        and not exists (
            select from booking.refunds r
            left join engine.saga_states s on s.saga_id = r.saga_id
            where r.order_id = o.order_id and s.finished_at is null and s.saga_id is not null
        )
        and not exists (select from settling s where s.order_id = o.order_id) as at_rest
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
    join booking.payments p on p.payment_id = r.payment_id and p.left_behind_at is null
    where r.state = 'succeeded' and cardinality(r.seat_ids) = 0
    group by r.order_id
)
-- a live ticket's seat is sold to its order
select 'invariant-1'::text as invariant, 'ticket ' || t.ticket_id as subject,
    format('seat %s of event %s is not its order''s', t.seat_id, t.event_id) as detail
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
    and not exists (select from settling s where s.order_id = p.order_id)
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

-- What may never be. Returns nothing when all is well. The numbers are those of DESIGN.md, section 9.
create or replace view booking.violations as
select 'invariant-1'::text as invariant, kind || ' ' || object as subject, detail from booking.seat_violations
union all
select invariant, subject, detail from booking.order_violations
union all
select invariant, subject, detail from booking.ledger_violations;
