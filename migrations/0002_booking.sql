-- What is sold, and who holds what. Touched by workflows/ alone.
create schema booking;

-- forgives typing errors in the catalogue's search
create extension if not exists pg_trgm with schema public;

create table booking.events (
    event_id uuid primary key,
    name text not null,
    venue text not null,
    description text not null,
    start_time timestamptz not null,
    -- IANA
    time_zone text not null,
    sales_start timestamptz,
    sales_end timestamptz,
    -- ISO 4217
    currency text not null,
    seat_count integer not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- the day it is at the venue
    local_date date not null generated always as ((start_time at time zone time_zone)::date) stored,
    search_words tsvector not null generated always as
        (to_tsvector('simple', name || ' ' || venue || ' ' || description)) stored,
    search_text text not null generated always as
        (lower(name || ' ' || venue || ' ' || description)) stored,
    constraint currency_is_a_code check (currency ~ '^[A-Z]{3}$'),
    constraint sale_ends_after_its_start check (sales_end > sales_start),
    constraint event_has_seats check (seat_count > 0)
);
create index events_by_time on booking.events (start_time, event_id);
create index events_by_date on booking.events (local_date, start_time, event_id);
create index events_by_words on booking.events using gin (search_words);
create index events_by_likeness on booking.events using gin (search_text public.gin_trgm_ops);

create table booking.sections (
    event_id uuid not null references booking.events,
    -- as its maker listed them: from 0
    position smallint not null,
    name text not null,
    slug text not null,
    row_count integer not null check (row_count > 0),
    seats_per_row integer not null check (seats_per_row > 0),
    price_minor bigint not null check (price_minor > 0),
    primary key (event_id, position),
    constraint section_slug_once unique (event_id, slug)
);

-- One row per seat. A seat is sold once because it has one row, and that row one order.
-- No foreign keys: rows are made with their event, and what they name is checked by booking.seat_violations.
create table booking.seats (
    event_id uuid not null,
    seat_id text not null,
    section smallint not null,
    row_number integer not null,
    seat_number integer not null,
    price_minor bigint not null check (price_minor > 0),
    -- grows with every change, so that a late message about the seat is known as late
    version bigint not null default 1,
    -- who holds it, or whose hold it was sold from
    hold_id uuid,
    -- free from here on, whether swept or not
    held_until timestamptz,
    -- whose it is
    order_id uuid,
    primary key (event_id, seat_id),
    constraint free_held_or_sold check (
        case
            when order_id is not null then hold_id is not null and held_until is null
            else (hold_id is null) = (held_until is null)
        end)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
-- of columns that never change, so that a change of the others stays on its page
create index seats_in_order on booking.seats (event_id, section, row_number, seat_number);

create table booking.holds (
    hold_id uuid primary key,
    event_id uuid not null,
    user_id text not null,
    hold_token text not null,
    seat_ids text[] not null,
    -- those of seat_ids that came back after they were sold
    returned_seat_ids text[] not null default '{}',
    total_minor bigint not null,
    currency text not null,
    state text not null,
    expires_at timestamptz not null,
    order_id uuid,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    -- void: an order's compensation came before its hold; nothing was held, and nothing may be any more
    constraint state_known check (state in ('active', 'ordered', 'committed', 'released', 'expired', 'void')),
    constraint order_where_placed check (
        case
            when state = 'active' then order_id is null
            when state in ('ordered', 'committed', 'void') then order_id is not null
            else true
        end),
    constraint void_has_no_seats check ((state = 'void') = (cardinality(seat_ids) = 0)),
    constraint returned_once_sold check
        (state in ('committed', 'released') or cardinality(returned_seat_ids) = 0),
    constraint returned_seats_are_its_own check (returned_seat_ids <@ seat_ids)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
-- a token is used up once an order was placed with it
create unique index one_live_hold_per_token on booking.holds (event_id, hold_token)
    where state = 'active' or (order_id is not null and state <> 'void');
create unique index one_hold_per_order on booking.holds (order_id) where order_id is not null;
create index holds_by_end on booking.holds (expires_at) where state in ('active', 'ordered');

-- Returns nothing when all is well.
create view booking.seat_violations as
-- a hold that lasts has all its seats, for as long as it says
select 'hold-without-seat' as kind, h.hold_id::text as object, wanted.seat_id as detail
from booking.holds h
cross join lateral unnest(h.seat_ids) as wanted(seat_id)
left join booking.seats s on s.event_id = h.event_id and s.seat_id = wanted.seat_id
where h.state in ('active', 'ordered') and h.expires_at > now()
    and (s.hold_id is distinct from h.hold_id or s.order_id is not null or s.held_until is distinct from h.expires_at)
union all
-- a committed hold's seats are sold to its order, save those that came back
select 'committed-seat-not-sold', h.hold_id::text, wanted.seat_id
from booking.holds h
cross join lateral unnest(h.seat_ids) as wanted(seat_id)
left join booking.seats s on s.event_id = h.event_id and s.seat_id = wanted.seat_id
where h.state = 'committed' and wanted.seat_id <> all (h.returned_seat_ids)
    and (s.hold_id is distinct from h.hold_id or s.order_id is distinct from h.order_id)
union all
-- a sold seat was sold from the committed hold of its order
select 'sold-without-hold', s.order_id::text, s.seat_id
from booking.seats s
left join booking.holds h on h.hold_id = s.hold_id
where s.order_id is not null
    and (h.state is distinct from 'committed' or h.order_id is distinct from s.order_id
        or h.event_id is distinct from s.event_id
        or s.seat_id <> all (h.seat_ids) or s.seat_id = any (h.returned_seat_ids))
union all
-- a held seat is held by a hold that lasts and lists it
select 'held-without-hold', s.hold_id::text, s.seat_id
from booking.seats s
left join booking.holds h on h.hold_id = s.hold_id
where s.order_id is null and s.held_until > now()
    and (h.hold_id is null or h.state not in ('active', 'ordered') or h.event_id <> s.event_id
        or s.seat_id <> all (h.seat_ids))
union all
-- an event has the seats that it was made with
select 'seat-count', e.event_id::text, format('%s instead of %s', count(s.seat_id), e.seat_count)
from booking.events e
left join booking.seats s on s.event_id = e.event_id
group by e.event_id
having count(s.seat_id) <> e.seat_count;
