-- The record of acts is chained: one sealer gives each act a number, and a digest over the seal before it and the act as
-- it is written. An act that is edited, removed, inserted or swapped afterwards no longer fits its seal.

create table engine.act_seals (
    number bigint primary key,
    act_id uuid not null unique,
    digest bytea not null,
    sealed_at timestamptz not null default clock_timestamp(),
    constraint seals_count_from_one check (number > 0),
    constraint digest_is_sha256 check (length(digest) = 32)
);
create trigger act_seals_are_append_only before update or delete on engine.act_seals
    for each row execute function engine.refuse_change();

-- Acts that wait for their seal. Kept by the database, so that whatever writes an act, of whatever release, has it sealed.
create table engine.unsealed_acts (
    act_id uuid primary key
);
create function engine.await_seal() returns trigger language plpgsql as $$
begin
    insert into engine.unsealed_acts (act_id) select act_id from written;
    return null;
end $$;
create trigger acts_await_their_seal after insert on engine.acts
    referencing new table as written
    for each statement execute function engine.await_seal();
insert into engine.unsealed_acts (act_id) select act_id from engine.acts;

-- at once: acts are written while this is deployed
select engine.grant_to_processes();
