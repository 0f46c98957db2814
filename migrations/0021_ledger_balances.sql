-- What every account of the ledger comes to, now or at any moment, without adding up every entry.

-- Entries are written in this order, near enough.
create index ledger_entries_by_time on booking.ledger_entries using brin (at) with (autosummarize = on);

-- Counts what is there for good into the totals.
create function booking.ledger_roll_up() returns void
language plpgsql as $$
declare
    old xid8;
    new xid8;
begin
    -- two at once: the second begins where the first has ended
    select h.xid into old from booking.ledger_horizon h for update;
    new := pg_snapshot_xmin(pg_current_snapshot());
    if old > new then
        -- restored from a copy of another server, whose transactions have other numbers
        delete from booking.ledger_totals;
        old := '0';
    end if;
    insert into booking.ledger_totals as t (account_id, currency, day, amount_minor)
    select e.account_id, e.currency, (e.at at time zone 'utc')::date, sum(e.amount_minor)
    from booking.ledger_entries e
    where e.xid >= old and e.xid < new
    group by 1, 2, 3
    on conflict (account_id, currency, day) do update set amount_minor = t.amount_minor + excluded.amount_minor;
    update booking.ledger_horizon set xid = new;
end $$;

-- What every account comes to, now or at a moment: the totals, and what is not counted yet. One statement, so that all of
-- it is of one snapshot.
create function booking.ledger_balances(moment timestamptz)
returns table (account_id integer, currency text, amount_minor bigint)
-- compiling it takes longer than running it
language sql stable set jit = off
begin atomic
    with horizon as (
        -- totals by another server's transactions say nothing here
        select case when h.xid <= pg_snapshot_xmin(pg_current_snapshot()) then h.xid else '0' end as xid
        from booking.ledger_horizon h
    ), part as (
        select t.account_id, t.currency, t.amount_minor
        from booking.ledger_totals t
        where (select xid from horizon) > '0' and (moment is null or t.day < (moment at time zone 'utc')::date)
        union all
        -- of the day that was not over, whether counted or not
        select e.account_id, e.currency, e.amount_minor
        from booking.ledger_entries e
        where e.at >= date_trunc('day', moment, 'utc') and e.at <= moment
        union all
        select e.account_id, e.currency, e.amount_minor
        from booking.ledger_entries e
        where e.xid >= (select xid from horizon) and (moment is null or e.at < date_trunc('day', moment, 'utc'))
    )
    select p.account_id, p.currency, sum(p.amount_minor)::bigint
    from part p
    group by p.account_id, p.currency;
end;
