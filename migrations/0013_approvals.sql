-- Acts that need a second person, and the refunds among them.

-- What somebody wants to do, and what became of it. Any act: what it is about is its content.
create table booking.approvals (
    approval_id uuid primary key,
    -- what is to be done, to what: `refund`, `ref_…`
    act text not null,
    object text not null,
    -- who may consent
    role text not null,
    -- exactly what is to be done: consent is to this, and void when it has changed
    content jsonb not null,
    requested_by text not null,
    reason text not null,
    requested_at timestamptz not null default now(),
    expires_at timestamptz not null,
    state text not null default 'requested',
    decided_by text,
    decision_reason text,
    ended_at timestamptz,
    constraint approval_state_known check (state in ('requested', 'approved', 'rejected', 'expired', 'void')),
    constraint approval_role_known check (role in ('operator', 'finance')),
    constraint four_eyes check (decided_by <> requested_by),
    constraint decided_by_somebody check (
        case
            when state in ('approved', 'rejected') then decided_by is not null and decision_reason is not null
            -- void may have been approved before
            when state = 'void' then true
            else decided_by is null
        end),
    constraint ended_approval_has_time check ((state = 'requested') = (ended_at is null)),
    constraint approval_expires_later check (expires_at > requested_at)
);
create unique index one_open_approval_per_act on booking.approvals (act, object) where state = 'requested';
create index approvals_by_state on booking.approvals (state, approval_id desc);

-- Nobody consents to one thing and has another done.
create function booking.refuse_changed_approval() returns trigger language plpgsql as $$
begin
    raise exception 'what was asked for in approval % is frozen', old.approval_id using errcode = 'check_violation';
end $$;
create trigger approvals_are_frozen before update on booking.approvals
for each row when (
    (old.approval_id, old.act, old.object, old.role, old.content, old.requested_by, old.reason, old.requested_at,
        old.expires_at)
    is distinct from
    (new.approval_id, new.act, new.object, new.role, new.content, new.requested_by, new.reason, new.requested_at,
        new.expires_at))
execute function booking.refuse_changed_approval();

alter table booking.refunds
    -- the second person's consent, where it needs one
    add column approval_id uuid references booking.approvals deferrable initially deferred,
    -- what its seats cost; the difference to its amount is refunded by amount alone. Null: its amount, if it has seats
    add column seats_minor bigint,
    -- since when its seats are free, its tickets void, and nobody takes it back any more
    add column released_at timestamptz,
    -- no gateway is asked without consent: its intent cannot be written down
    add constraint approved_before_it_is_submitted check
        (approval_id is null or released_at is not null or state in ('requested', 'rejected'));
update booking.refunds set released_at = requested_at where state <> 'requested';
create unique index one_refund_per_approval on booking.refunds (approval_id) where approval_id is not null;
create index refunds_by_state on booking.refunds (state, requested_at desc, refund_id desc);
