//! Sagas from their start to their end, whatever their steps answer.

use super::world::{World, start, words};
use orchestrator::{
    Started,
    action::{Halt, Probed},
    journal::{Entry, StuckCause},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_completes_step_by_step() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "completed").await;
    let expected = [
        "started",
        "intended one",
        "succeeded one",
        "intended two",
        "succeeded two",
        "succeeded three",
        "intended four",
        "succeeded four",
        "completed",
    ];
    assert_eq!(words(&view), expected);
    assert_eq!(view.outputs()["two"], json!({ "did": "two" }));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_is_taken_back_in_reverse() {
    let world = World::new().await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("no", "no")));
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(world.script.calls(), ["do one", "do two", "undo two", "undo one"]);
    assert_eq!(view.run.cause.unwrap().code, "no");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_now_is_tried_again_and_then_given_up() {
    let world = World::new().await;
    world.script.answer(Err(Halt::transient("later", "later")));
    let saga = world.start("three-steps").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls()[..3], ["do one", "do one", "do two"]);

    let world = World::new().await;
    for _ in 0..3 {
        world.script.answer(Err(Halt::transient("later", "later")));
    }
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(world.script.calls(), ["do one", "do one", "do one", "undo one"]);
    assert_eq!(view.run.cause.unwrap().code, "later");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_asked_about_before_anything_else() {
    let world = World::new().await;
    world.script.answer(Err(Halt::in_doubt("lost", "the answer was lost")));
    world.script.probe(Ok(Probed::Executed(json!({ "found": true }))));
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls()[..3], ["do one", "ask one", "do two"]);
    assert_eq!(view.outputs()["one"], json!({ "found": true }));

    let world = World::new().await;
    world.script.answer(Err(Halt::in_doubt("lost", "the answer was lost")));
    world.script.probe(Ok(Probed::NotExecuted));
    let saga = world.start("three-steps").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls()[..4], ["do one", "ask one", "do one", "do two"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_in_doubt() {
    let world = World::new().await;
    *world.script.gate.lock().unwrap() = Some(std::sync::Arc::new(tokio::sync::Semaphore::new(0)));
    world.script.probe(Ok(Probed::Executed(json!({}))));
    let saga = world.start("timed").await;
    let view = world.run_until(saga, "completed").await;
    let doubted = |recorded: &orchestrator::journal::Recorded| matches!(&recorded.entry, Entry::InDoubt { step, failure, .. } if step == "slow" && failure.code == "timeout");
    assert!(view.journal.iter().any(doubted), "{:?}", words(&view));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_pivot_a_refusal_is_for_a_person_and_a_retry_goes_on() {
    let world = World::new().await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("no", "no")));
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "stuck").await;
    let stuck = view.run.stuck.unwrap();
    assert_eq!((stuck.step.as_deref(), stuck.cause), (Some("four"), StuckCause::Refused));
    world.all_is_well().await;
    super::acts::done(&world, saga, orchestrator::acts::Act::Retry).await;
    world.run_until(saga, "completed").await;
    let open: i64 = sqlx::query_scalar("select count(*) from engine.cases where closed_at is null")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(open, 0);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_action_commits_with_its_entry_or_not_at_all() {
    let world = World::new().await;
    world.script.answer(Err(Halt::transient("later", "later")));
    world.script.answer(Err(Halt::permanent("panic!", "")));
    let saga = world.start("one-step").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls().len(), 3);
    assert_eq!(world.effects(saga).await, 1);

    world.script.answer(Err(Halt::permanent("sql!", "")));
    let saga = world.start("one-step").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.effects(saga).await, 1);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_counts_before_and_after_it_is_waited_for() {
    let world = World::new().await;
    let early = world.start("waiter").await;
    world.engine.signal(early, "go", json!(1), "test").await.unwrap();
    let view = world.run_until(early, "completed").await;
    assert_eq!(view.outputs()["wait"]["payload"], json!(1));

    let late = world.start("waiter").await;
    world.run_until(late, "waiting").await;
    world.engine.signal(late, "other", json!(0), "test").await.unwrap();
    world.turn(&world.engine).await;
    assert_eq!(world.view(late).await.run.state.as_str(), "waiting");
    let first = world.engine.signal(late, "go", json!(2), "test").await.unwrap();
    assert_eq!(world.engine.signal(late, "go", json!(2), "test").await.unwrap(), first);
    let view = world.run_until(late, "completed").await;
    assert_eq!(view.outputs()["wait"]["payload"], json!(2));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_takes_back_what_waits() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    let entry = "update engine.ready set wake_at = now()";
    sqlx::query(entry).execute(&world.pool).await.unwrap();
    // the deadline is in the journal, which nobody may change: the test takes the guard away to move time
    sqlx::query("alter table engine.journal disable trigger journal_is_append_only")
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query(
        "update engine.journal set entry = jsonb_set(entry, '{deadlineAt}', to_jsonb(now() - interval '1 second'))
         where saga_id = $1 and seq = 1",
    )
    .bind(saga.0)
    .execute(&world.pool)
    .await
    .unwrap();
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "deadline");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_waits_for_one_that_it_starts_by_key() {
    let world = World::new().await;
    let first = world.start_with("parent", json!({ "key": "k" })).await;
    let second = world.start_with("parent", json!({ "key": "k" })).await;
    let first = world.run_until(first, "completed").await;
    let second = world.run_until(second, "completed").await;
    assert_eq!(first.outputs()["wait"]["state"], "completed");
    assert_eq!(first.outputs()["wait"]["sagaId"], second.outputs()["wait"]["sagaId"]);
    // it has ended long since
    let third = world.start_with("parent", json!({ "key": "k" })).await;
    let third = world.run_until(third, "completed").await;
    assert_eq!(first.outputs()["wait"]["sagaId"], third.outputs()["wait"]["sagaId"]);
    assert_eq!(world.script.calls(), ["write only"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_steps_wait_for_the_same_saga_also_from_inside_a_transaction() {
    let world = World::new().await;
    let saga = world.start_with("twice", json!({ "key": "k" })).await;
    let view = world.run_until(saga, "completed").await;
    for step in ["again", "inside"] {
        assert_eq!(view.outputs()["wait"], view.outputs()[step]);
    }
    let alone = world.start_with("twice", json!({ "key": "other" })).await;
    world.run_until(alone, "completed").await;
    assert_eq!(world.script.calls(), ["write only", "write only"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_starts_once_alone_and_in_a_batch() {
    let world = World::new().await;
    let starts = (0..100).map(|n| world.engine.start(start("one-step", &format!("key-{}", n % 10), json!({}))));
    let started = futures::future::join_all(starts).await;
    let new = started.iter().filter(|started| matches!(started, Ok(Started::New(_)))).count();
    let known = started.iter().filter(|started| matches!(started, Ok(Started::Known(_)))).count();
    assert_eq!((new, known), (10, 90));
    let other = world.engine.start(start("one-step", "key-1", json!({ "other": 1 }))).await.unwrap();
    assert!(matches!(other, Started::Conflict(_)));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_sagas_stay_on_their_version() {
    let world = World::new().await;
    let old = world.start("waiter").await;
    world.run_until(old, "waiting").await;
    let changed = "saga: waiter\ninput: { type: object }\nsteps:\n- { step: other, action: demo.echo }\n";
    let applied = world.engine.catalog().apply(changed, "test").await.unwrap();
    world.engine.catalog().activate("waiter", applied.version, "test", "a test").await.unwrap();
    let new = world.start("waiter").await;
    let new = world.run_until(new, "completed").await;
    assert_eq!(words(&new), ["started", "succeeded other", "completed"]);
    world.engine.signal(old, "go", json!({}), "test").await.unwrap();
    let old = world.run_until(old, "completed").await;
    assert!(words(&old).contains(&"succeeded end".to_owned()));
    assert_eq!((old.run.version, new.run.version), (1, 2));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_begins_when_it_is_asked_to_and_higher_priorities_come_first() {
    let world = World::new().await;
    let soon = chrono::Duration::milliseconds(300);
    let now: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&world.pool).await.unwrap();
    let mut later = start("one-step", "later", json!({}));
    later.starts_at = Some(now + soon);
    let later = world.engine.start(later).await.unwrap().saga_id();
    assert!(world.engine.claim("test", 10).await.unwrap().is_empty());
    let view = world.run_until(later, "completed").await;
    assert!(view.journal[1].at >= now + soon);

    let low = world.start("one-step").await;
    let mut high = start("one-step", "high", json!({}));
    high.priority = 9;
    let high = world.engine.start(high).await.unwrap().saga_id();
    assert_eq!(world.engine.claim("test", 1).await.unwrap()[0].saga_id(), high);
    assert_eq!(world.engine.claim("test", 1).await.unwrap()[0].saga_id(), low);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_one_connection_does_not_wait_for_itself() {
    let world = World::new().await.with_one_connection().await;
    let parent = world.start_with("parent", json!({ "key": "k" })).await;
    let waiter = world.start("waiter").await;
    world.run_until(parent, "completed").await;
    world.run_until(waiter, "waiting").await;
    super::acts::done(&world, waiter, orchestrator::acts::Act::Cancel).await;
    world.run_until(waiter, "compensated").await;
    world.all_is_well().await;
}
