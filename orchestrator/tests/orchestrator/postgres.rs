//! What PostgreSQL alone can show: pools, transactions that are shared, rows that nobody can have written.

use crate::{
    acts::done,
    ground::PATIENCE,
    world::{World, start},
};
use orchestrator::{Settled, Started, acts::Act, view::Filter};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_one_connection_does_not_wait_for_itself() {
    let world = World::new().await.with_one_connection().await;
    let parent = world.start_with("parent", json!({ "key": "k" })).await;
    let waiter = world.start("waiter").await;
    world.run_until(parent, "completed").await;
    world.run_until(waiter, "waiting").await;
    done(&world, waiter, Act::Cancel).await;
    world.run_until(waiter, "compensated").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_starts_share_transactions() {
    let world = World::new().await;
    let starts = (0..200).map(|n| world.engine.start(start("one-step", &format!("key-{n}"), json!({}))));
    let started = futures::future::join_all(starts).await;
    assert!(started.iter().all(|started| matches!(started, Ok(Started::New(_)))));
    let transactions: i64 = sqlx::query_scalar("select count(distinct xmin::text) from engine.start_keys")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(transactions < 50, "200 starts took {transactions} transactions");
    while world
        .engine
        .sagas(&Filter::default(), None, 500)
        .await
        .unwrap()
        .items
        .iter()
        .any(|saga| saga.finished_at.is_none())
    {
        world.turn(&world.engine).await;
    }
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_does_not_read_stops_its_saga_and_no_other() {
    let world = World::new().await;
    let odd = world.start("three-steps").await;
    let claimed = world.claim(&world.engine, odd).await;
    let (claimed, report) = world.engine.execute(claimed).await;
    sqlx::query(
        "with e as (insert into engine.journal (saga_id, seq, at, kind, entry, move_id)
                    values ($1, 3, now(), 'x', '{\"kind\": \"fromTheFuture\"}', gen_random_uuid()))
         update engine.sagas set seq = 3 where saga_id = $1",
    )
    .bind(odd.0)
    .execute(&world.pool)
    .await
    .unwrap();
    assert!(matches!(world.engine.settle(claimed, report).await, Settled::Released));
    let good = world.start("one-step").await;
    world.run_until(good, "completed").await;
    world.all_is_well().await;
}

/// What was put off is due again.
async fn due(world: &World) {
    sqlx::query("update engine.ready set wake_at = now() where token is null").execute(&world.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_killed_its_workers_is_run_one_at_a_time() {
    let world = World::new().await;
    for _ in 0..3 {
        world.start("three-steps").await;
    }
    sqlx::query("update engine.ready set claims = 2").execute(&world.pool).await.unwrap();
    let innocent = world.start("one-step").await;
    let claimed = world.engine.claim("first", 10).await.unwrap();
    assert_eq!(claimed.len(), 2, "one suspect and everything else");
    assert!(claimed.iter().any(|one| one.saga_id() == innocent));
    // the others are nobody's, and their claims are not counted
    let claims: Vec<i32> =
        sqlx::query_scalar("select claims from engine.ready where token is null").fetch_all(&world.pool).await.unwrap();
    assert_eq!(claims, [2, 2]);
    due(&world).await;
    assert!(world.engine.claim("first", 10).await.unwrap().is_empty(), "while it holds one");
    due(&world).await;
    let elsewhere = world.another().claim("second", 10).await.unwrap();
    assert_eq!(elsewhere.len(), 1, "another process takes one as well");
    world.engine.hand_back(claimed).await.unwrap();
    due(&world).await;
    assert_eq!(world.engine.claim("first", 10).await.unwrap().len(), 2, "and so does this one when it is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_definition_is_gone_is_put_before_a_person() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    sqlx::query("create table gone as select * from engine.definitions where name = 'three-steps'")
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query("delete from engine.active_definitions where name = 'three-steps'").execute(&world.pool).await.unwrap();
    sqlx::query("delete from engine.definitions where name = 'three-steps'").execute(&world.pool).await.unwrap();
    // by a process that has never seen it
    world.turn(&world.another()).await;
    let cause: String = sqlx::query_scalar("select cause from engine.cases where saga_id = $1")
        .bind(saga.0)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(cause, "definition-unknown");
    assert_eq!(world.script.calls(), Vec::<String>::new());
    // back again, a person lets it go on
    sqlx::query("insert into engine.definitions select * from gone").execute(&world.pool).await.unwrap();
    done(&world, saga, Act::Retry).await;
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

/// Plans are made once, for tables that are empty at midnight on Monday.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_sagas_go_through_reads_a_whole_table() {
    let world = World::new().await;
    sqlx::raw_sql("analyze").execute(&world.pool).await.unwrap();
    for round in 0..3 {
        let saga = world.start_with("parent", json!({ "key": round.to_string() })).await;
        let waiter = world.start("waiter").await;
        world.run_until(saga, "completed").await;
        world.run_until(waiter, "waiting").await;
        done(&world, waiter, Act::Cancel).await;
        world.run_until(waiter, "compensated").await;
    }
    let mut other = PgConnection::connect_with(&world.pool.connect_options()).await.unwrap();
    world.pool.close().await;
    drop(world);
    // what a connection has counted is told when it ends
    let others = "select exists (select from pg_stat_activity
                                 where datname = current_database() and pid <> pg_backend_pid())";
    let began = Instant::now();
    while sqlx::query_scalar(others).fetch_one(&mut other).await.unwrap() {
        assert!(began.elapsed() < PATIENCE, "a connection stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let read: Vec<(String, i64, i64)> = sqlx::query_as(
        "select relname, seq_tup_read, idx_scan from pg_stat_user_tables
         where relname in ('ready', 'start_keys') or relname ~ '^(sagas|journal)_[0-9]+$' order by relname",
    )
    .fetch_all(&mut other)
    .await
    .unwrap();
    assert!(read.iter().all(|(_, scanned, _)| *scanned == 0), "{read:?}");
    assert!(read.iter().any(|(table, _, looked_up)| table.starts_with("journal") && *looked_up > 0), "{read:?}");
}
