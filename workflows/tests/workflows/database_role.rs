//! What a process may do in the database, and what it may not.

use orchestrator::db;
use private_servers::TestServers;
use sqlx::{Executor, PgPool};
use std::{collections::BTreeSet, path::Path};

async fn owner_and_process() -> (PgPool, PgPool, String) {
    owner_and_process_on(TestServers::shared()).await
}

async fn owner_and_process_on(servers: &TestServers) -> (PgPool, PgPool, String) {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let url = servers.database(&migrations).unwrap();
    (db::connect(&url, 2).await.unwrap(), db::connect_as_process(&url, 2).await.unwrap(), url)
}

/// Which rights on which tables a process lacks, of the four that it has by default, and which it has beyond them.
async fn exceptions(owner: &PgPool) -> BTreeSet<String> {
    let found = "select what || ' ' || relation.name
         from (select c.oid, c.oid::regclass::text as name from pg_class c
               where c.relnamespace in ('engine'::regnamespace, 'booking'::regnamespace)
                 and c.relkind in ('r', 'p') and not c.relispartition) relation
         cross join unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) what
         where has_table_privilege('showrunner_process', relation.oid, what)
               is distinct from (what in ('select', 'insert', 'update', 'delete'))";
    sqlx::query_scalar::<_, String>(found).fetch_all(owner).await.unwrap().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_may_everything_but_change_history() {
    let (owner, ..) = owner_and_process().await;
    let wanted = [
        "update engine.journal",
        "delete engine.journal",
        "update engine.acts",
        "delete engine.acts",
        "update engine.act_seals",
        "delete engine.act_seals",
        "insert engine.dropped_weeks",
        "update engine.dropped_weeks",
        "delete engine.dropped_weeks",
        "update booking.ledger_postings",
        "delete booking.ledger_postings",
        "update booking.ledger_entries",
        "delete booking.ledger_entries",
        "delete booking.ledger_accounts",
        "update booking.closed_days",
        "delete booking.closed_days",
    ];
    let wanted: BTreeSet<String> = wanted.into_iter().map(str::to_owned).collect();
    assert_eq!(exceptions(&owner).await, wanted);
    // what comes later is covered by the next `migrate`
    owner.execute("create table booking.later (n int)").await.unwrap();
    assert_ne!(exceptions(&owner).await, wanted, "a table that is forgotten is seen");
    db::grant_to_processes(&owner).await.unwrap();
    assert_eq!(exceptions(&owner).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_refused_by_grants_not_by_triggers_alone() {
    let (owner, process, _) = owner_and_process().await;
    let partition: String =
        sqlx::query_scalar("select journal::regclass::text from engine.weeks limit 1").fetch_one(&owner).await.unwrap();
    let of_the_partition = format!("delete from {partition}");
    for statement in [
        "update booking.ledger_entries set amount_minor = 1",
        "delete from booking.ledger_postings",
        "truncate booking.ledger_entries",
        "alter table booking.ledger_entries disable trigger user",
        "drop trigger ledger_entries_stay on booking.ledger_entries",
        "set session_replication_role = replica",
        "reset role; delete from engine.acts",
        "delete from engine.journal",
        "drop table engine.journal",
        "select engine.grant_to_processes()",
        &of_the_partition,
    ] {
        let error = process.execute(sqlx::AssertSqlSafe(statement)).await.unwrap_err();
        let code = error.into_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_makes_and_drops_weeks_by_function() {
    let (_, process, _) = owner_and_process().await;
    let made = "select engine.make_partitions(now() + interval '60 days', now() + interval '60 days')";
    assert_eq!(sqlx::query_scalar::<_, i32>(made).fetch_one(&process).await.unwrap(), 2);
    process.execute("select engine.drop_week(first_id, after_id) from engine.weeks").await.unwrap();
    let left = "select count(*) from engine.weeks";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&process).await.unwrap(), 0);
    process.execute("select engine.analyze_sagas(), engine.analyze_journal()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_needs_nothing_but_the_role() {
    // a server of its own: roles are all databases'
    let servers = TestServers::start().unwrap();
    let (owner, _, url) = owner_and_process_on(&servers).await;
    owner.execute("create role seller login").await.unwrap();
    let login = url.replace("postgres://postgres@", "postgres://seller@");
    let refused = db::connect_as_process(&login, 1).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied to set role"), "{refused}");
    owner.execute("grant showrunner_process to seller").await.unwrap();
    let process = db::connect_as_process(&login, 1).await.unwrap();
    process.execute("select from booking.orders").await.unwrap();

    // who may not make roles is told what to run, and it is enough
    owner.execute("alter role showrunner_process rename to another").await.unwrap();
    owner.execute("grant execute on function engine.grant_to_processes() to seller").await.unwrap();
    let seller = db::connect(&login, 1).await.unwrap();
    let told = db::grant_to_processes(&seller).await.unwrap_err().to_string();
    owner.execute("alter role another rename to showrunner_process").await.unwrap();
    let command = "create role showrunner_process nologin; grant showrunner_process to seller;";
    assert!(told.contains(command), "{told}");
}
