//! What the engine bears: lost answers, panics, data that does not read, holders that vanish.

use super::{
    proxy::Proxy,
    world::{World, engine, start, words},
};
use async_trait::async_trait;
use orchestrator::{
    Postgres, SagaId, Settled, Started,
    action::{Halt, Probed},
    group_commit::{CommitError, GroupCommit, Work},
    start_in_tx,
};
use serde_json::json;
use sqlx::PgConnection;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.pool).await;
    let behind = engine(&proxy.pool, &world.script);

    proxy.commits_to_lose.store(1, Ordering::SeqCst);
    let started = behind.start(start("one-step", "key", json!({}))).await.unwrap();
    let Started::New(saga) = started else { panic!("it is ours: {started:?}") };
    let claimed = world.claim(&behind, saga).await;
    let (claimed, report) = behind.execute(claimed).await;
    proxy.commits_to_lose.store(1, Ordering::SeqCst);
    assert!(matches!(behind.settle(claimed, report).await, Settled::Released));
    assert_eq!(proxy.commits_to_lose.load(Ordering::SeqCst), 0, "the answer was lost");
    assert_eq!(words(&world.view(saga).await), ["started", "succeeded only", "completed"]);
    assert_eq!((world.effects(saga).await, world.script.calls().len()), (1, 1));

    // an intent, and the answer to the call that it allows
    let saga = world.start("three-steps").await;
    let mut claimed = world.claim(&behind, saga).await;
    loop {
        proxy.commits_to_lose.store(2, Ordering::SeqCst);
        let (executed, report) = behind.execute(claimed).await;
        match behind.settle(executed, report).await {
            Settled::Continue(next) => claimed = next,
            Settled::Released => break,
            Settled::Superseded => panic!("the claim held all the time"),
        }
    }
    assert_eq!(words(&world.view(saga).await).len(), 9, "{:?}", words(&world.view(saga).await));
    assert_eq!(world.script.calls()[1..], ["do one", "do two", "do four"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_written_again_does_not_wake_what_has_ended() {
    let world = World::new().await;
    let prepared = world.engine.prepare(SagaId::fresh(), start("one-step", "key", json!({}))).await.unwrap();
    for round in 0..2 {
        let mut tx = world.pool.begin().await.unwrap();
        assert!(matches!(start_in_tx(&mut tx, &prepared).await.unwrap(), Started::New(_)));
        tx.commit().await.unwrap();
        world.all_is_well().await;
        let view = world.run_until(prepared.saga_id, "completed").await;
        assert_eq!(words(&view).len(), 3, "round {round}");
    }
    assert!(world.engine.claim("test", 1).await.unwrap().is_empty());
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
        .sagas(&orchestrator::view::Filter::default(), None, 500)
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

/// Refuses, or falls over, where an item says so.
struct Moody(Arc<AtomicUsize>);
#[async_trait]
impl Work for Moody {
    type Item = &'static str;
    type Answer = &'static str;
    async fn apply(
        &self,
        tx: &mut PgConnection,
        items: &[Arc<&'static str>],
    ) -> Result<Vec<&'static str>, sqlx::Error> {
        for item in items {
            match **item {
                "panics" => panic!("as the test asked"),
                "refused" => {
                    sqlx::query("select 1 / 0").execute(&mut *tx).await?;
                }
                _ => {}
            }
        }
        self.0.fetch_add(items.len(), Ordering::SeqCst);
        Ok(items.iter().map(|item| **item).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_over_or_is_refused_takes_nobody_with_it() {
    let world = World::new().await;
    let committer = GroupCommit::start(Postgres::new(world.pool.clone()), Moody(Arc::default()));
    for _ in 0..3 {
        let items = ["good", "panics", "good", "refused", "good"].map(|item| committer.submit(item));
        let answers = futures::future::join_all(items).await;
        for (index, answer) in answers.into_iter().enumerate() {
            match index {
                1 | 3 => assert!(matches!(answer, Err(CommitError::Refused(_))), "{answer:?}"),
                _ => assert_eq!(answer.unwrap(), "good"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_saga_that_does_not_read_keeps_no_other_from_work() {
    let world = World::new().await;
    let odd = world.start("waiter").await;
    let good = world.start("one-step").await;
    sqlx::query("update engine.definitions set document = document || '{\"fromTheFuture\": 1}' where name = 'waiter'")
        .execute(&world.pool)
        .await
        .unwrap();
    // a process that has not read the definition before
    let other = world.another();
    for _ in 0..20 {
        world.turn(&other).await;
        world.end_leases().await;
        sqlx::query("update engine.ready set wake_at = now()").execute(&world.pool).await.unwrap();
    }
    assert_eq!(world.view(good).await.run.state.as_str(), "completed");
    let claims: i32 = sqlx::query_scalar("select claims from engine.ready where saga_id = $1")
        .bind(odd.0)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(claims, 0, "nobody has died with it");
    // the process that knows it goes on
    world.run_until(odd, "waiting").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_holder_has_gone_is_not_kept_alive() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let held = world.claim(&world.engine, saga).await;
    world.end_leases().await;
    world.engine.keep_leases().await.unwrap();
    assert!(world.engine.claim("test", 1).await.unwrap().is_empty(), "its holder keeps it");
    drop(held);
    world.end_leases().await;
    world.engine.keep_leases().await.unwrap();
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_that_lasts_is_not_taken_for_workers_that_die() {
    let world = World::new().await;
    let saga = world.start("patient").await;
    world.script.answer(Err(Halt::in_doubt("lost", "lost")));
    for _ in 0..12 {
        world.script.probe(Err(Halt::in_doubt("still", "still")));
    }
    world.script.probe(Ok(Probed::Executed(json!({}))));
    world.run_until(saga, "completed").await;
    let asked = world.script.calls().iter().filter(|call| call.starts_with("ask")).count();
    assert_eq!(asked, 13);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_comes_between_plan_and_move_is_not_passed_over() {
    let world = World::new().await;
    let saga = world.start("either").await;
    let claimed = world.claim(&world.engine, saga).await;
    let (claimed, report) = world.engine.execute(claimed).await;
    let claimed = match world.engine.settle(claimed, report).await {
        Settled::Continue(claimed) => claimed,
        _ => world.claim(&world.engine, saga).await,
    };
    // its time has come, and the worker has looked; then the signal comes
    let (claimed, report) = world.engine.execute(claimed).await;
    world.engine.signal(saga, "go", json!("signal"), "test").await.unwrap();
    let Settled::Continue(claimed) = world.engine.settle(claimed, report).await else { panic!("it is planned again") };
    let (claimed, report) = world.engine.execute(claimed).await;
    world.engine.settle(claimed, report).await;
    assert_eq!(world.view(saga).await.outputs()["wait"]["payload"], json!("signal"));
    world.all_is_well().await;
}
