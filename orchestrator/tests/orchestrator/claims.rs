//! Claims, leases and fences: workers that die, sleep and come back.

use super::{
    acts,
    world::{World, words},
};
use orchestrator::{Claimed, Engine, Settled, acts::Act, journal::StuckCause};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Has the next call of `test.do` wait at a gate.
fn gate(world: &World) -> Arc<Semaphore> {
    let gate = Arc::new(Semaphore::new(0));
    *world.script.gate.lock().unwrap() = Some(Arc::clone(&gate));
    gate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_writes_nothing_and_learns_of_it_in_the_middle_of_its_call() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let gate = gate(&world);
    let zombie = world.another();
    let claimed = world.claim(&zombie, saga).await;
    let asleep = tokio::spawn({
        let zombie = zombie.clone();
        async move { zombie.execute(claimed).await }
    });
    world.script.entered.notified().await;
    *world.script.gate.lock().unwrap() = None;
    // its lease ends; another takes the saga, asks what became of the call, and goes on to the end
    world.end_leases().await;
    let finished = world.run_until(saga, "completed").await;
    gate.add_permits(1);
    let (claimed, report) = asleep.await.unwrap();
    assert!(matches!(zombie.settle(claimed, report).await, Settled::Superseded));
    assert_eq!(words(&world.view(saga).await), words(&finished));
    assert!(!words(&finished).iter().any(|word| word.starts_with("noted")), "the zombie's note was refused");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_kept_when_others_write_in_the_middle_of_a_call() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let gate = gate(&world);
    let claimed = world.claim(&world.engine, saga).await;
    let calling = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.execute(claimed).await }
    });
    world.script.entered.notified().await;
    *world.script.gate.lock().unwrap() = None;
    world.engine.signal(saga, "something", json!({}), "test").await.unwrap();
    gate.add_permits(1);
    let (claimed, report) = calling.await.unwrap();
    assert!(matches!(world.engine.settle(claimed, report).await, Settled::Continue(_)));
    let journal = words(&world.view(saga).await);
    assert_eq!(journal, ["started", "intended one", "signalled", "noted one", "succeeded one"]);
    world.end_leases().await;
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_of_a_call_stops_further_calls_and_is_carried_out() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let gate = gate(&world);
    let claimed = world.claim(&world.engine, saga).await;
    let calling = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.execute(claimed).await }
    });
    world.script.entered.notified().await;
    *world.script.gate.lock().unwrap() = None;
    acts::done(&world, saga, Act::Cancel).await;
    gate.add_permits(1);
    let (claimed, report) = calling.await.unwrap();
    world.engine.settle(claimed, report).await;
    world.end_leases().await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "cancelled");
    assert_eq!(world.script.calls(), ["do one", "undo one"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_kills_every_worker_becomes_stuck_and_says_so() {
    // asked about between two deaths, and not
    for (definition, step) in [("patient", "ask"), ("slow", "one")] {
        let world = World::new().await;
        let saga = world.start(definition).await;
        let _gate = gate(&world);
        let mut deaths = 0;
        while world.view(saga).await.run.state.as_str() != "stuck" {
            let doomed = world.another();
            let claimed = world.claim(&doomed, saga).await;
            let dying = tokio::spawn(async move { goes_on(&doomed, claimed).await });
            tokio::select! {
                () = world.script.entered.notified() => {
                    deaths += 1;
                    dying.abort();
                }
                () = async { while !dying.is_finished() { tokio::task::yield_now().await; } } => {}
            }
            drop(dying.await);
            assert!(deaths < 20, "it was claimed for ever");
            world.end_leases().await;
        }
        let stuck = world.view(saga).await.run.stuck.unwrap();
        assert_eq!((stuck.cause, stuck.step.as_deref()), (StuckCause::WorkerLost, Some(step)));
        // one more where the claim had brought the saga further before its worker died
        assert!((5..=6).contains(&deaths), "{definition}: {deaths}");
        world.all_is_well().await;
        // a person tries again with a worker that survives it
        *world.script.gate.lock().unwrap() = None;
        acts::done(&world, saga, Act::Retry).await;
        world.run_until(saga, "completed").await;
        world.all_is_well().await;
    }
}

/// Goes on with a claim for as long as it lasts.
async fn goes_on(engine: &Engine, mut claimed: Claimed) {
    loop {
        let (executed, report) = engine.execute(claimed).await;
        match engine.settle(executed, report).await {
            Settled::Continue(next) => claimed = next,
            Settled::Released | Settled::Superseded => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_back_is_claimed_by_others_at_once() {
    let world = World::new().await;
    let saga = world.start("doomed").await;
    let leaving = world.another();
    let claimed = world.claim(&leaving, saga).await;
    assert!(world.engine.claim("test", 1).await.unwrap().is_empty());
    leaving.hand_back(vec![claimed]).await.unwrap();
    assert_eq!(world.engine.claim("test", 1).await.unwrap()[0].saga_id(), saga);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_wake_up_is_seen_and_mended() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    sqlx::query("delete from engine.ready").execute(&world.pool).await.unwrap();
    let violated = world.engine.violations().await.unwrap();
    assert_eq!(violated[0].0, "saga-is-looked-after");
    assert_eq!(world.engine.sweep().await.unwrap(), 1);
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_the_database_refuses_does_not_take_others_with_it() {
    let world = World::new().await;
    sqlx::query("alter table engine.journal add constraint refused check (entry::text not like '%poison%')")
        .execute(&world.pool)
        .await
        .unwrap();
    world.script.answer(Ok(json!({ "poison": true })));
    let bad = world.start("three-steps").await;
    world.turn(&world.engine).await;
    let good: Vec<_> = futures::future::join_all((0..20).map(|_| world.start("one-step"))).await;
    for saga in good {
        world.run_until(saga, "completed").await;
    }
    // what could not be recorded is in doubt, and asked about
    let view = world.run_until(bad, "completed").await;
    assert!(words(&view).contains(&"inDoubt one".to_owned()), "{:?}", words(&view));
    world.all_is_well().await;
}
