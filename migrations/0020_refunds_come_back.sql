-- What may never be with an order and its money. What is outstanding of a refund that was not done is still kept, and
-- owed to the buyer.
create or replace view booking.order_violations as
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
), refund as (
    -- what has gone back of each refund, and what its seats cost: of a charge that was left behind, all of it, which never
    -- was the order's. Whoever runs the release before writes a success without what has gone back
    select r.refund_id, r.order_id, r.payment_id, r.amount_minor, r.outstanding_minor, p.left_behind_at,
        case when r.state = 'succeeded' then r.amount_minor else r.returned_minor end as returned_minor,
        case
            when p.left_behind_at is not null then r.amount_minor
            else coalesce(r.seats_minor, case when cardinality(r.seat_ids) > 0 then r.amount_minor else 0 end)
        end as seats_minor
    from booking.refunds r
    join booking.payments p on p.payment_id = r.payment_id
    where r.state <> 'rejected'
), owed as (
    -- what was to go back of each payment and has not
    select r.payment_id, sum(r.outstanding_minor)::bigint as owed_minor from refund r group by r.payment_id
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
    -- beyond the price of the seats whose tickets were taken back, or short of it
    select r.order_id, sum(r.returned_minor - r.seats_minor)::bigint as refunded_minor from refund r group by r.order_id
)
-- a live ticket's seat is sold to its order
select 'invariant-1'::text as invariant, 'ticket ' || t.ticket_id as subject,
    format('seat %s of event %s is not its order''s', t.seat_id, t.event_id) as detail
from booking.tickets t
left join booking.seats s on s.event_id = t.event_id and s.seat_id = t.seat_id
where t.revoked_at is null and s.order_id is distinct from t.order_id
union all
-- at rest, what is kept is the price of the live tickets, less what was refunded by amount; what is outstanding of a refund
-- that has failed is short of its seats' price
select 'invariant-2', 'order ' || b.order_id,
    format('%s kept, tickets worth %s, %s refunded by amount',
        coalesce(m.kept_minor, 0), coalesce(w.live_minor, 0), coalesce(a.refunded_minor, 0))
from books b
left join money m using (order_id)
left join worth w using (order_id)
left join by_amount a using (order_id)
where b.at_rest and b.saga_state <> 'killed' and (b.saga_state, b.status) <> ('dropped', 'attention')
    and coalesce(m.kept_minor, 0) <> coalesce(w.live_minor, 0) - coalesce(a.refunded_minor, 0)
union all
-- all on one gateway
select 'invariant-2', 'order ' || p.order_id, 'money is kept at ' || string_agg(distinct p.gateway, ', ')
from booking.payments p
join books b on b.order_id = p.order_id
left join owed w on w.payment_id = p.payment_id
where b.at_rest and p.captured_minor - p.refunded_minor > coalesce(w.owed_minor, 0)
group by p.order_id
having count(*) > 1
union all
-- at rest, the order says how it ended
select 'invariant-2', 'order ' || b.order_id, format('is %s while its saga is %s', b.status, b.saga_state)
from books b
where b.at_rest
    and case b.saga_state
        when 'completed' then b.status not in ('confirmed', 'cancelled', 'attention')
        -- needs a person when a refund of it has come back
        when 'compensated' then b.status not in ('rejected', 'cancelled')
            and not (b.status = 'attention' and exists (
                select from booking.refunds r where r.order_id = b.order_id and r.state = 'failed'))
        when 'dropped' then b.status not in ('confirmed', 'cancelled', 'rejected', 'attention')
        else b.status <> 'attention'
    end
union all
-- the sum of the refunds is what their payment says
select 'invariant-3', 'payment ' || p.payment_id,
    format('%s refunded, %s in its refunds', p.refunded_minor, coalesce(sum(r.returned_minor), 0))
from booking.payments p
left join refund r on r.payment_id = p.payment_id
group by p.payment_id
having p.refunded_minor <> coalesce(sum(r.returned_minor), 0)
union all
-- the sum of what each try has brought back is what the refund says
select 'invariant-3', 'refund ' || r.refund_id,
    format('%s has gone back, %s in its parts', r.returned_minor, coalesce(sum(t.amount_minor), 0))
from booking.refunds r
left join booking.refund_parts t on t.refund_id = r.refund_id and t.reversed_at is null
group by r.refund_id
having r.returned_minor <> coalesce(sum(t.amount_minor), 0)
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

-- Of the ledger: what is outstanding of a refund is on its way, or with us since the gateway has said no for good.
create or replace view booking.ledger_violations as
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
        -outstanding_minor as amount_minor
    from booking.refunds where outstanding_minor > 0
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
