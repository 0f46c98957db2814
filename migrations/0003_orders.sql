-- Who may call, what was ordered, what was paid and paid back, and the tickets. Touched by workflows/ alone.

create table booking.access_tokens (
    token_id uuid primary key,
    -- SHA-256 of the secret, which is kept nowhere
    token_hash bytea not null,
    role text not null,
    name text not null,
    -- the one user that it acts for
    user_id text,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    constraint token_once unique (token_hash),
    constraint role_known check (role in ('client', 'viewer', 'operator', 'finance', 'admin')),
    constraint only_clients_are_bound check (user_id is null or role = 'client')
);

create table booking.orders (
    order_id uuid primary key,
    saga_id uuid not null,
    hold_id uuid not null,
    event_id uuid not null,
    user_id text not null,
    seat_ids text[] not null,
    total_minor bigint not null check (total_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    status text not null default 'pending',
    -- why it was rejected or cancelled, or needs a person
    reason text,
    -- what the buyer must do
    next_action jsonb,
    -- it had its tickets
    confirmed_at timestamptz,
    -- the buyer's cancellation: how it is carried out, so that asking again gives the same answer
    cancel_saga_id uuid,
    cancel_refund_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint one_order_per_saga unique (saga_id),
    constraint one_order_per_hold unique (hold_id),
    constraint order_status_known check (status in
        ('pending', 'actionRequired', 'confirmed', 'rejected', 'cancelling', 'cancelled', 'attention')),
    constraint next_action_where_required check ((status = 'actionRequired') = (next_action is not null)),
    constraint reason_where_rejected check (status not in ('rejected', 'attention') or reason is not null),
    constraint confirmed_had_tickets check (status <> 'confirmed' or confirmed_at is not null),
    constraint refund_by_saga check (cancel_refund_id is null or cancel_saga_id is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index orders_by_user on booking.orders (user_id, order_id desc);
create index orders_unfinished on booking.orders (status, order_id desc)
    where status in ('pending', 'actionRequired', 'cancelling', 'attention');

-- The one table that holds e-mail addresses.
create table booking.order_emails (
    order_id uuid primary key,
    email text not null
);

-- One order per key, for as long as the key lives.
create table booking.idempotency_keys (
    -- the user, or the trusted token
    owner text not null,
    key text not null,
    -- of the request's body: the same key with another one is a conflict
    digest bytea not null,
    order_id uuid not null,
    saga_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (owner, key)
);
create index idempotency_keys_by_age on booking.idempotency_keys (created_at);

-- One row per charge that was intended: a gateway and a key. Written from the journal's entries, in their move.
create table booking.payments (
    payment_id uuid primary key,
    order_id uuid not null,
    saga_id uuid not null,
    gateway text not null,
    -- by which the gateway knows the charge
    key text not null,
    reference text,
    status text not null,
    -- what was to be charged
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    captured_minor bigint not null default 0,
    -- what refunds that are not refused have asked for, and what has gone back
    refund_asked_minor bigint not null default 0,
    refunded_minor bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint charged_once_per_key unique (gateway, key),
    constraint payment_status_known check (status in
        ('pending', 'inDoubt', 'captured', 'declined', 'voided', 'refunded')),
    constraint captured_has_money check ((status in ('captured', 'refunded')) = (captured_minor > 0)),
    constraint captured_has_reference check (captured_minor = 0 or reference is not null),
    constraint refunded_is_all check (status <> 'refunded' or refunded_minor = captured_minor),
    constraint never_refund_more_than_captured check
        (0 <= refunded_minor and refunded_minor <= refund_asked_minor and refund_asked_minor <= captured_minor)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index payments_by_order on booking.payments (order_id);
create index payments_by_saga on booking.payments (saga_id);
create index payments_by_reference on booking.payments (reference);

create table booking.refunds (
    refund_id uuid primary key,
    order_id uuid not null,
    payment_id uuid not null references booking.payments,
    -- the refund-order saga that carries it out
    saga_id uuid not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    -- whose tickets it takes back
    seat_ids text[] not null,
    state text not null,
    -- of the idempotency key: grows after a definite failure
    generation integer not null default 1 check (generation > 0),
    attempts integer not null default 0,
    -- the gateway's own name for it
    reference text,
    reason text not null,
    requested_by text not null,
    requested_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint one_refund_per_saga unique (saga_id),
    constraint refund_state_known check (state in
        ('requested', 'approved', 'rejected', 'submitted', 'pending', 'inDoubt', 'succeeded', 'failed')),
    constraint finished_refund_has_time check
        ((state in ('rejected', 'succeeded', 'failed')) = (finished_at is not null))
);
create index refunds_by_order on booking.refunds (order_id);
create index refunds_by_payment on booking.refunds (payment_id);
create index refunds_by_time on booking.refunds (requested_at desc, refund_id desc);

create table booking.tickets (
    ticket_id uuid primary key,
    order_id uuid not null,
    event_id uuid not null,
    seat_id text not null,
    code text not null,
    issued_at timestamptz not null default now(),
    revoked_at timestamptz,
    revoked_reason text,
    constraint revoked_with_reason check ((revoked_at is null) = (revoked_reason is null))
);
-- no seat is sold twice
create unique index one_live_ticket_per_seat on booking.tickets (event_id, seat_id) where revoked_at is null;
create index tickets_by_order on booking.tickets (order_id);

-- What gateways told us on their own account, once each.
create table booking.webhook_inbox (
    gateway text not null,
    webhook_id text not null,
    kind text not null,
    reference text,
    order_id uuid,
    received_at timestamptz not null default now(),
    primary key (gateway, webhook_id)
);
create index webhook_inbox_by_age on booking.webhook_inbox (received_at);

-- An order as its buyer sees it.
create view booking.order_views as
select o.order_id, o.saga_id, o.event_id, o.user_id, o.seat_ids, o.status, o.reason, o.next_action,
    o.total_minor, o.currency, o.created_at,
    (select coalesce(jsonb_agg(jsonb_build_object(
            'paymentId', p.payment_id, 'gateway', p.gateway, 'reference', p.reference, 'status', p.status,
            'amountMinor', case when p.captured_minor > 0 then p.captured_minor else p.amount_minor end,
            'currency', p.currency) order by p.payment_id), '[]')
        from booking.payments p where p.order_id = o.order_id) as payments,
    (select coalesce(jsonb_agg(jsonb_build_object(
            'refundId', r.refund_id, 'state', r.state, 'amountMinor', r.amount_minor, 'currency', r.currency,
            'seatIds', r.seat_ids, 'gateway', p.gateway, 'reference', r.reference)
            order by r.requested_at, r.refund_id), '[]')
        from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
        where r.order_id = o.order_id) as refunds,
    (select coalesce(jsonb_agg(jsonb_build_object(
            'ticketId', t.ticket_id, 'seatId', t.seat_id, 'code', t.code, 'valid', t.revoked_at is null)
            order by array_position(o.seat_ids, t.seat_id)), '[]')
        from booking.tickets t where t.order_id = o.order_id) as tickets
from booking.orders o;

-- What may never be, at any time or (where it says "at rest") once an order's sagas are done. Returns nothing
-- when all is well. The numbers are those of DESIGN.md, section 9.
create view booking.violations as
with books as (
    -- an order and the sagas that move its money: its own and those of its refunds
    select o.order_id, o.status, o.total_minor, o.hold_id, own.state as saga_state,
        own.finished_at is not null
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
where b.at_rest and b.saga_state <> 'killed'
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
