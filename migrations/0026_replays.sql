-- Replays of many refunds are batches too. What is acted on is a refund, whichever saga carries it out.

alter table booking.batches
    -- SHA-256 of the file that it was planned from: the same file again is the same plan
    add column file_digest bytea;
create unique index one_plan_per_file on booking.batches (file_digest) where file_digest is not null;

alter table booking.batch_items
    -- of a refund: the saga that carries it out, if there is such a refund
    alter column saga_id drop not null,
    add column refund_id uuid,
    -- what of the refund was outstanding when that was planned
    add column outstanding_minor bigint,
    add column currency text,
    -- whether the plan has said that it would be done; null in plans of the release before
    add column would_act boolean,
    add constraint batch_item_is_of_something check (saga_id is not null or refund_id is not null),
    add constraint planned_amount_has_currency check ((outstanding_minor is null) = (currency is null)),
    add constraint refund_once_per_batch unique (batch_id, refund_id);
create index batch_items_replayed on booking.batch_items (refund_id) where state = 'acted' and refund_id is not null;
