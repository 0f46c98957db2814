-- Captures that their charges do not show yet are taken again, so that none is told to a saga that listens no more.

alter table booking.webhook_inbox
    -- when it is taken again; null where nothing is left to do
    add column look_again_at timestamptz default now() + interval '5 seconds';
create index webhook_inbox_again on booking.webhook_inbox (look_again_at)
    where kind = 'paymentCaptured' and outcome in ('told', 'unmatched');
