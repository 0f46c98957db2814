-- Refunds that need several tries: what has gone back of each, by which try, and what has come back to us since.

alter table booking.refunds
    -- what has gone back of it, all at once or in parts, and has stayed there
    add column returned_minor bigint not null default 0,
    add constraint never_return_more_than_asked check (0 <= returned_minor and returned_minor <= amount_minor);
alter table booking.refunds
    -- what the generation that is under way asks for; null: all that is outstanding
    add column asked_minor bigint check (asked_minor > 0);
update booking.refunds set returned_minor = amount_minor where state = 'succeeded';
-- whoever runs the release before writes a success without what has gone back
alter table booking.refunds add column outstanding_minor bigint not null generated always as
    (case when state in ('succeeded', 'rejected') then 0 else amount_minor - returned_minor end) stored;

-- What went back by each generation of a refund's key.
create table booking.refund_parts (
    refund_id uuid not null references booking.refunds,
    generation integer not null check (generation > 0),
    amount_minor bigint not null check (amount_minor > 0),
    -- the gateway's name for it
    reference text not null,
    returned_at timestamptz not null default now(),
    -- since when the gateway says that it has failed after all
    reversed_at timestamptz,
    primary key (refund_id, generation)
);
insert into booking.refund_parts (refund_id, generation, amount_minor, reference, returned_at)
select refund_id, generation, amount_minor, reference, finished_at
from booking.refunds where state = 'succeeded' and reference is not null;
