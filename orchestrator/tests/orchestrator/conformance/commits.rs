//! Group commit: COMMITs whose fate is unknown, the same start twice, bad rows.

use crate::{
    ground::{Ground, Loss},
    world::{World, start, words},
};
use async_trait::async_trait;
use orchestrator::{
    SagaId, Settled, Started, Store,
    group_commit::{CommitError, GroupCommit, Work},
    store::{ActRow, Tx},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Each way to lose a COMMIT, and whether it is done.
const LOSSES: [(Loss, bool); 3] =
    [(Loss::CommitBefore, false), (Loss::CommitAfter, true), (Loss::CommitOnItsWay, true)];

pub(crate) async fn a_start_whose_commit_is_lost_is_done_once<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let frail = world.frail_one().await;
    for (loss, _) in LOSSES {
        let key = format!("{loss:?}");
        world.lose(loss, 1);
        let started = frail.start(start("waiter", &key, json!({}))).await.unwrap();
        let Started::New(saga) = started else { panic!("it is ours: {started:?}") };
        assert_eq!(world.left_to_lose(), 0, "{loss:?}");
        assert_eq!(words(&world.view(saga).await), ["started"]);
        let again = world.engine.start(start("waiter", &key, json!({}))).await.unwrap();
        assert_eq!(again, Started::Known(saga));
    }
    assert_eq!(world.engine.claim("test", 9).await.unwrap().len(), 3);
    world.all_is_well().await;
}

pub(crate) async fn a_local_step_whose_commit_is_lost_is_done_once<G: Ground>() {
    for (loss, is_done) in LOSSES {
        let world = World::<G>::on_new_ground().await;
        let frail = world.frail_one().await;
        let saga = world.start("one-step").await;
        let claimed = world.claim(&frail, saga).await;
        let (claimed, report) = frail.execute(claimed).await;
        world.lose(loss, 1);
        assert!(matches!(frail.settle(claimed, report).await, Settled::Released));
        assert_eq!(world.left_to_lose(), 0, "{loss:?}");
        assert_eq!(words(&world.view(saga).await), ["started", "succeeded only", "completed"]);
        let calls = if is_done { 1 } else { 2 };
        assert_eq!((world.effects(saga).await, world.script.calls().len()), (1, calls), "{loss:?}");
        world.all_is_well().await;
    }
}

/// Every COMMIT is lost once: those of intents, and those of the answers to the calls that they allow.
pub(crate) async fn calls_whose_commits_are_lost_are_made_once<G: Ground>() {
    for (loss, _) in LOSSES {
        let world = World::<G>::on_new_ground().await;
        let frail = world.frail_one().await;
        let saga = world.start("three-steps").await;
        let mut claimed = world.claim(&frail, saga).await;
        let mut lost_intents = 0;
        loop {
            world.lose(loss, 1);
            let (executed, report) = frail.execute(claimed).await;
            lost_intents += 1 - world.left_to_lose();
            world.lose(loss, 1);
            let settled = frail.settle(executed, report).await;
            assert_eq!(world.left_to_lose(), 0, "{loss:?}");
            match settled {
                Settled::Continue(next) => claimed = next,
                Settled::Released => break,
                Settled::Superseded => panic!("the claim held all the time"),
            }
        }
        assert_eq!(lost_intents, 3);
        let view = world.view(saga).await;
        assert_eq!((words(&view).len(), view.run.state.as_str()), (9, "completed"), "{:?}", words(&view));
        assert_eq!(world.script.calls(), ["do one", "do two", "do four"], "{loss:?}");
        world.all_is_well().await;
    }
}

pub(crate) async fn the_same_key_starts_once_alone_and_in_a_batch<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let starts = (0..100).map(|n| world.engine.start(start("one-step", &format!("key-{}", n % 10), json!({}))));
    let started = futures::future::join_all(starts).await;
    let new = started.iter().filter(|started| matches!(started, Ok(Started::New(_)))).count();
    let known = started.iter().filter(|started| matches!(started, Ok(Started::Known(_)))).count();
    assert_eq!((new, known), (10, 90));
    let other = world.engine.start(start("one-step", "key-1", json!({ "other": 1 }))).await.unwrap();
    assert!(matches!(other, Started::Conflict(_)));
    world.all_is_well().await;
}

pub(crate) async fn a_move_that_is_refused_does_not_take_others_with_it<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.refuse("poison").await;
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

/// Refuses, or falls over, where an item says so.
struct Moody;
#[async_trait]
impl<S: Store> Work<S> for Moody {
    const NAME: &'static str = "moody";
    type Item = &'static str;
    type Answer = &'static str;
    async fn apply(&self, tx: &mut S::Tx, items: &[Arc<&'static str>]) -> Result<Vec<&'static str>, sqlx::Error> {
        for item in items {
            match **item {
                "panics" => panic!("as the test asked"),
                "refused" => do_twice(tx).await?,
                _ => {}
            }
        }
        Ok(items.iter().map(|item| **item).collect())
    }
}

/// What no store takes.
async fn do_twice<T: Tx + ?Sized>(tx: &mut T) -> Result<(), sqlx::Error> {
    let saga_id = SagaId::fresh();
    let act = ActRow { actor: "olga", act: "retry", saga_id, seq: 1, digest: "", reason: "", address: None };
    tx.record_acts(&[(act, Value::Null)], "done").await?;
    tx.record_acts(&[(act, Value::Null)], "done").await
}

pub(crate) async fn what_falls_over_or_is_refused_takes_nobody_with_it<G: Ground>() {
    let committer = GroupCommit::start(G::new().await.store(), Moody);
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
