-- What may never be: what was refunded by amount is what refunds gave back beyond the price of their seats, or short of it.
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
    select r.order_id,
        sum(r.amount_minor - coalesce(r.seats_minor, case when cardinality(r.seat_ids) > 0 then r.amount_minor else 0 end))
            ::bigint as refunded_minor
    from booking.refunds r
    join booking.payments p on p.payment_id = r.payment_id and p.left_behind_at is null
    where r.state = 'succeeded'
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
    and coalesce(m.kept_minor, 0) <> coalesce(w.live_minor, 0) - coalesce(a.refunded_minor, 0)
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
