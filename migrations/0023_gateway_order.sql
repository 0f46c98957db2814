-- In which order people want gateways to be asked; without a row, it is the configuration's.

create table booking.gateway_order (
    -- there is one
    one boolean primary key default true check (one),
    -- the first is asked first; what is not named here comes behind
    names text[] not null check (cardinality(names) > 0),
    -- why, and who
    reason text not null,
    set_by text not null,
    set_at timestamptz not null default now()
);
