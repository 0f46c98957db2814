-- The processes run as a role that may not change history. What it may is said here once, for all tables there are;
-- `migrate` says it again after every run, so that tables of later migrations are covered too (docs/database-role.md).
create function engine.grant_to_processes() returns void
language plpgsql as $$
declare
    relation record;
    missing text := format('create role showrunner_process nologin; grant showrunner_process to %I;', current_user);
begin
    -- two at once: the role belongs to the whole server
    perform pg_advisory_xact_lock(hashtext('engine.grant_to_processes'));
    begin
        if to_regrole('showrunner_process') is null then
            create role showrunner_process nologin;
            execute format('grant showrunner_process to %I', current_user);
        elsif not pg_has_role(current_user, 'showrunner_process', 'member') then
            execute format('grant showrunner_process to %I', current_user);
        end if;
    exception
        -- another database of the server has just made it
        when duplicate_object or unique_violation then null;
        when insufficient_privilege then
            raise exception '% may not make the role that the processes run as; an administrator must run: %',
                current_user, missing using errcode = 'insufficient_privilege';
    end;

    grant usage on schema engine, booking to showrunner_process;
    for relation in
        select c.oid::regclass as name, c.relkind as kind
        from pg_class c
        -- a partition is reached through its table only
        where c.relnamespace in ('engine'::regnamespace, 'booking'::regnamespace)
          and c.relkind in ('r', 'p', 'v', 'm', 'S') and not c.relispartition
    loop
        execute format('revoke all on %s from showrunner_process', relation.name);
        execute format('grant %s on %s to showrunner_process',
            case relation.kind
                when 'S' then 'usage'
                when 'v' then 'select'
                when 'm' then 'select'
                else 'select, insert, update, delete'
            end, relation.name);
    end loop;
    -- what stays as it was written says so by its trigger; two that make the same account at once write it again, as it is,
    -- and theirs looks at what it was
    for relation in
        select t.tgrelid::regclass as name, concat_ws(', ',
            case when bool_or(t.tgtype & 16 <> 0) then 'update' end,
            case when bool_or(t.tgtype & 8 <> 0) then 'delete' end) as kind
        from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid and p.proname = 'refuse_change'
            and p.pronamespace in ('engine'::regnamespace, 'booking'::regnamespace)
        where t.tgqual is null and t.tgparentid = 0
        group by t.tgrelid
    loop
        execute format('revoke %s on %s from showrunner_process', relation.kind, relation.name);
    end loop;
    -- weeks of it are dropped whole, and told by who drops them
    revoke delete on engine.journal from showrunner_process;
    revoke insert, update, delete on engine.dropped_weeks from showrunner_process;
    if to_regclass('_sqlx_migrations') is not null then
        grant select on _sqlx_migrations to showrunner_process;
    end if;
    grant execute on function engine.make_partitions(timestamptz, timestamptz), engine.drop_week(uuid, uuid),
        engine.analyze_sagas(), engine.analyze_journal() to showrunner_process;
end $$;

-- Only who owns a table may have it looked at. One function for each: a snapshot lasts no longer than one table.
create function engine.analyze_sagas() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    analyze (skip_locked) engine.sagas;
end $$;
create function engine.analyze_journal() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    analyze (skip_locked) engine.journal;
end $$;

alter function engine.make_partitions(timestamptz, timestamptz) security definer set search_path = pg_catalog, pg_temp;
alter function engine.drop_week(uuid, uuid) security definer set search_path = pg_catalog, pg_temp;
revoke execute on function engine.make_partitions(timestamptz, timestamptz), engine.drop_week(uuid, uuid),
    engine.analyze_sagas(), engine.analyze_journal(), engine.grant_to_processes() from public;

select engine.grant_to_processes();
