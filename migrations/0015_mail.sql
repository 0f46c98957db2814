-- Messages that leave the house wait in a line of their own: a mail server that is away for hours, or that nobody has
-- named yet, must hold up no signal between sagas. What is written by a release that knows one line goes into the first.
alter table engine.outbox
    add column destination text not null default 'inside',
    add constraint outbox_destination_known check (destination in ('inside', 'outside'));
create index outbox_by_destination on engine.outbox (destination, due_at) where state = 'waiting';
drop index engine.outbox_by_time;
