-- What became of each webhook, and disputes.

-- null: taken before this was written down
alter table booking.webhook_inbox
    add column outcome text,
    -- why nothing came of it
    add column reason text,
    -- what it said of money, never of people: amount, state, code, our own names
    add column detail jsonb not null default '{}',
    add column occurred_at timestamptz,
    add constraint webhook_outcome_known check
        (outcome in ('told', 'known', 'settling', 'recorded', 'ignored', 'unmatched')),
    add constraint unmatched_has_reason check ((outcome = 'unmatched') <= (reason is not null));
create index webhook_inbox_unmatched on booking.webhook_inbox (received_at) where outcome = 'unmatched';

-- What buyers' banks dispute, as the newest news of it says.
create table booking.disputes (
    gateway text not null,
    -- the gateway's name for the dispute
    reference text not null,
    -- of the charge, and the charge itself where it is known here
    payment_reference text,
    payment_id uuid,
    order_id uuid,
    amount_minor bigint not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    -- in the gateway's words
    status text not null,
    -- when the newest news of it happened there
    occurred_at timestamptz not null,
    received_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (gateway, reference)
);
create index disputes_by_order on booking.disputes (order_id) where order_id is not null;
