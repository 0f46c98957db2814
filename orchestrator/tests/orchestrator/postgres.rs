//! What PostgreSQL alone can show: pools, transactions that are shared, rows that nobody can have written.

use crate::{
    acts::done,
    world::{World, start},
};
use orchestrator::{Settled, Started, acts::Act, view::Filter};
use serde_json::json;

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
