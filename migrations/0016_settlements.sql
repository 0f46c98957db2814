-- Settlements: what gateways say that they have paid out, held against the ledger. docs/settlement.md says how.

-- A file, once.
create table booking.settlements (
    settlement_id uuid primary key,
    gateway text not null,
    -- SHA-256 of the file
    digest bytea not null,
    line_count integer not null,
    imported_at timestamptz not null default now(),
    imported_by text not null,
    constraint one_settlement_per_file unique (gateway, digest)
);

create table booking.settlement_lines (
    settlement_id uuid not null references booking.settlements,
    -- its place in the file, from 2; what is missing follows behind
    line integer not null,
    gateway text not null,
    movement text not null,
    -- what the gateway calls that
    category text not null,
    -- by which the same movement is recognised in another file; null where it is missing
    identity text,
    -- the gateway's names for the charge, and for the refund or the dispute of it
    payment_reference text,
    reference text,
    -- our own name for the charge, where the gateway has given it back
    own_reference text,
    -- what comes to us is positive; nothing where it is missing
    gross_minor bigint not null,
    fee_minor bigint not null,
    net_minor bigint not null,
    currency text not null,
    occurred_at timestamptz not null,
    outcome text not null,
    -- its counterpart, and what that says
    posting_id uuid references booking.ledger_postings,
    expected_minor bigint,
    expected_currency text,
    -- what it belongs to, where that is known
    order_id uuid,
    payment_id uuid,
    refund_id uuid,
    state text not null,
    -- what a person has done about it, or wants to do with the consent of another
    act text,
    acted_by text,
    act_reason text,
    acted_at timestamptz,
    approval_id uuid,
    primary key (settlement_id, line),
    constraint net_is_gross_less_fee check (net_minor = gross_minor - fee_minor),
    constraint settlement_movement_known check (movement in
        ('capture', 'refund', 'refundReturned', 'dispute', 'disputeReturned', 'fee', 'payout', 'other')),
    constraint settlement_outcome_known check (outcome in
        ('matched', 'missing', 'unexpected', 'over', 'under', 'wrongCurrency', 'duplicate')),
    constraint settlement_state_known check (state in ('settled', 'open', 'told', 'received', 'writtenOff')),
    constraint missing_has_no_line check ((outcome = 'missing') = (identity is null)),
    constraint missing_is_expected check (outcome <> 'missing' or posting_id is not null),
    constraint expected_with_posting check
        ((posting_id is null) = (expected_minor is null) and (expected_minor is null) = (expected_currency is null)),
    constraint acted_by_somebody check
        ((act is null) = (acted_by is null) and (act is null) = (act_reason is null) and (act is null) = (acted_at is null)),
    constraint received_by_act check (state not in ('told', 'received', 'writtenOff') or act is not null)
);
-- a posting is settled by one line
create unique index settled_once on booking.settlement_lines (posting_id)
    where posting_id is not null and outcome not in ('missing', 'duplicate');
create unique index missing_once on booking.settlement_lines (posting_id) where outcome = 'missing';
create index settlement_lines_by_identity on booking.settlement_lines (gateway, identity) where identity is not null;
create index settlement_lines_open on booking.settlement_lines (gateway, settlement_id, line) where state in ('open', 'told');
create index settlement_lines_by_order on booking.settlement_lines (order_id) where order_id is not null;

-- A line with the saga that looks after it. One that was dropped with its week had finished long before.
create view booking.settlement_line_views as
select l.*, coalesce(r.saga_id, p.saga_id) as saga_id, s.finished_at is not null or s.saga_id is null as saga_is_finished
from booking.settlement_lines l
left join booking.payments p on p.payment_id = l.payment_id
left join booking.refunds r on r.refund_id = l.refund_id
left join engine.saga_states s on s.saga_id = coalesce(r.saga_id, p.saga_id);

-- Up to when what is missing has been looked for.
create table booking.settlement_horizons (
    gateway text primary key,
    looked_until timestamptz not null
);

-- refunds and disputes are found by the gateway's name for them; charges by their own row's
create index ledger_postings_by_refund on booking.ledger_postings (gateway, reference)
    where kind in ('refundSucceeded', 'refundReversed');

-- Days that finance has signed off, with what was known then.
create table booking.closed_days (
    day date primary key,
    closed_at timestamptz not null default now(),
    closed_by text not null,
    reason text not null,
    report jsonb not null,
    constraint closed_when_over check (day < (closed_at at time zone 'UTC')::date)
);
create trigger closed_days_stay before update or delete or truncate on booking.closed_days
    for each statement execute function booking.refuse_change();
