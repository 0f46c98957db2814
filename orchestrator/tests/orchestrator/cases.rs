//! Cases: who joins which, and when it is over.

use crate::{
    acts::done,
    ground::Ground as _,
    world::{World, go_on},
};
use orchestrator::{
    SagaId,
    action::{Failure, Halt, Probed, Wait},
    acts::Act,
    cases::{Case, Matter, Patience, close_in_tx, keep, open_in_tx},
    journal::{Entry, Recorded},
    view::Filter,
};
use serde_json::json;

/// Asks a person at once.
const NONE: Patience = Patience { in_doubt_secs: 0, past_deadline_secs: 0, no_progress_secs: 0 };
/// Never asks a person.
const ENDLESS: Patience = Patience { in_doubt_secs: 9_999, past_deadline_secs: 9_999, no_progress_secs: 9_999 };

/// For a signal.
fn waits() -> Halt {
    Halt::Wait(Wait { signal: Some("go".to_owned()), until: None, child: None, reason: "somebody".to_owned() })
}

async fn cases(world: &World) -> Vec<Case> {
    world.engine.cases(None).await.unwrap()
}

async fn only_case(world: &World) -> Case {
    let cases = cases(world).await;
    assert_eq!(cases.len(), 1, "{cases:?}");
    cases.into_iter().next().unwrap()
}

/// Stuck in its compensation: the last step is refused, and so is what would take the first one back.
async fn stuck(world: &World) -> SagaId {
    let saga = world.start("regretful").await;
    world.script.answer(Ok(json!({ "told": "yes" })));
    world.script.answer(Err(Halt::permanent("sold-out", "no more")));
    world.script.answer(Err(Halt::permanent("no-such-charge", "never heard of it")));
    world.run_until(saga, "stuck").await;
    saga
}

/// Runs all sagas until this one has failed in this way.
async fn fails(world: &World, saga: SagaId, with: &str) {
    let has_failed =
        |recorded: &Recorded| matches!(&recorded.entry, Entry::Failed { failure, .. } if failure.code == with);
    while !world.view(saga).await.journal.iter().any(has_failed) {
        world.turn(&world.engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_with_the_same_trouble_are_one_case_until_the_step_is_really_done() {
    let world = World::new().await;
    let first = stuck(&world).await;
    let second = stuck(&world).await;
    let case = only_case(&world).await;
    assert_eq!(
        (&*case.cause, case.definition.as_deref(), case.step.as_deref(), case.lane.as_deref(), case.code.as_deref()),
        ("refused", Some("regretful"), Some("one"), Some("compensation"), Some("no-such-charge"))
    );
    assert_eq!((case.count, case.joined_last_hour, case.joined_hour_before), (2, 2, 0));
    assert_eq!(case.sagas, [first, second], "the oldest first");
    let in_case = Filter { case: Some(case.case_id), ..Filter::default() };
    let listed = world.engine.sagas(&in_case, None, 10).await.unwrap().items;
    assert_eq!(listed.into_iter().map(|one| one.saga_id).collect::<Vec<_>>(), [second, first]);

    done(&world, first, Act::Retry).await;
    assert_eq!(only_case(&world).await.count, 2, "what is tried again is not done yet");
    world.run_until(first, "compensated").await;
    let left = only_case(&world).await;
    assert_eq!((left.case_id, left.count, &left.sagas[..]), (case.case_id, 1, &[second][..]));
    assert_eq!(left.joined_last_hour, 2, "who is mended has joined all the same");
    done(&world, second, Act::Retry).await;
    world.run_until(second, "compensated").await;
    assert_eq!(cases(&world).await, []);
    assert_eq!(world.engine.cases(Some(case.case_id)).await.unwrap(), []);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_fails_in_another_way_is_in_another_case() {
    let world = World::new().await;
    let saga = stuck(&world).await;
    let before = only_case(&world).await;
    world.script.answer(Err(Halt::permanent("closed", "the account is closed")));
    done(&world, saga, Act::Retry).await;
    world.turn(&world.engine).await;
    world.run_until(saga, "stuck").await;
    let after = only_case(&world).await;
    assert_eq!((after.count, after.code.as_deref()), (1, Some("closed")));
    assert_ne!(after.case_id, before.case_id);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_that_lasts_is_a_case_until_it_is_definite() {
    let world = World::new().await;
    let saga = world.start("doubtful").await;
    world.script.answer(Err(Halt::InDoubt(Failure::new("timeout", "no answer"))));
    world.run_until(saga, "waiting").await;
    assert_eq!(world.engine.look_for_trouble(ENDLESS).await.unwrap(), 0, "it is not old enough");
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 1);
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 0, "once");
    let case = only_case(&world).await;
    assert_eq!((&*case.cause, case.step.as_deref(), &case.sagas[..]), ("in-doubt", Some("one"), &[saga][..]));
    assert_eq!(case.suggested_act(), "probe");
    world.all_is_well().await;
    world.script.probe(Ok(Probed::Executed(json!({}))));
    done(&world, saga, Act::Probe).await;
    world.run_until(saga, "completed").await;
    assert_eq!(cases(&world).await, [], "closed by the move itself");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_that_turns_out_to_be_a_failure_is_no_doubt_any_more() {
    let world = World::new().await;
    let saga = world.start("doubtful").await;
    world.script.answer(Err(Halt::InDoubt(Failure::new("timeout", "no answer"))));
    world.run_until(saga, "waiting").await;
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 1);
    world.script.probe(Ok(Probed::NotExecuted));
    done(&world, saga, Act::Probe).await;
    fails(&world, saga, "timeout").await;
    world.engine.look_for_trouble(ENDLESS).await.unwrap();
    assert_eq!(cases(&world).await, []);
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 1, "but it gets nowhere");
    assert_eq!(only_case(&world).await.cause, "no-progress");
    // tried once more, in vain: it stays
    world.script.answer(Err(Halt::transient("closed", "later")));
    done(&world, saga, Act::Retry).await;
    fails(&world, saga, "closed").await;
    world.engine.look_for_trouble(NONE).await.unwrap();
    assert_eq!(only_case(&world).await.cause, "no-progress");
    done(&world, saga, Act::Retry).await;
    world.run_until(saga, "completed").await;
    assert_eq!(cases(&world).await, []);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_as_it_should_is_nobody_s_case() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 0);
    // it has failed before, and then got as far as to wait
    let again = world.start("patient").await;
    world.script.answer(Err(Halt::transient("busy", "later")));
    world.script.answer(Err(waits()));
    world.run_until(again, "waiting").await;
    while world.engine.saga(again).await.unwrap().unwrap().listed.waiting_on != "signal" {
        world.turn(&world.engine).await;
    }
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 0);
    assert_eq!(cases(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lives_beyond_its_deadline_is_a_case_until_it_is_taken_back() {
    let world = World::new().await;
    let saga = world.start("hasty").await;
    past_deadline(&world, saga).await;
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 1, "no worker takes it back");
    assert_eq!(only_case(&world).await.cause, "past-deadline");
    world.run_until(saga, "compensated").await;
    world.engine.look_for_trouble(NONE).await.unwrap();
    assert_eq!(cases(&world).await, []);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_has_no_say_beyond_the_pivot() {
    let world = World::new().await;
    let saga = world.start("patient").await;
    world.script.answer(Err(waits()));
    world.run_until(saga, "waiting").await;
    past_deadline(&world, saga).await;
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 0);
}

/// Until its deadline has passed, whatever its definition says.
async fn past_deadline(world: &World, saga: SagaId) {
    sqlx::query("update engine.sagas set deadline_at = now() - interval '1 minute' where saga_id = $1")
        .bind(saga.0)
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_whose_attempts_are_used_up_is_a_case_until_it_is_done() {
    let world = World::new().await;
    let saga = world.start("regretful").await;
    world.script.answer(Ok(json!({ "told": "yes" })));
    world.script.answer(Err(Halt::permanent("sold-out", "no more")));
    (0..4).for_each(|_| world.script.answer(Err(Halt::transient("away", "nobody answers"))));
    world.run_until(saga, "stuck").await;
    let case = only_case(&world).await;
    let at = (&*case.cause, case.step.as_deref(), case.lane.as_deref(), case.code.as_deref());
    assert_eq!(at, ("exhausted", Some("one"), Some("compensation"), Some("away")));
    assert_eq!((case.suggested_act(), &case.sagas[..]), ("retry", &[saga][..]));
    done(&world, saga, Act::Retry).await;
    world.run_until(saga, "compensated").await;
    assert_eq!(cases(&world).await, []);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_kills_its_workers_is_a_case_until_it_is_done() {
    let world = World::new().await;
    let saga = world.start("patient").await;
    let _gate = world.script.close_gate();
    while world.view(saga).await.run.state.as_str() != "stuck" {
        let doomed = world.another();
        let claimed = world.claim(&doomed, saga).await;
        let mut dying = tokio::spawn(async move { go_on(&doomed, claimed).await });
        tokio::select! {
            () = world.script.entered.notified() => dying.abort(),
            ended = &mut dying => drop(ended.unwrap()),
        }
        world.end_leases().await;
    }
    let case = only_case(&world).await;
    assert_eq!((&*case.cause, case.step.as_deref(), &case.sagas[..]), ("worker-lost", Some("ask"), &[saga][..]));
    world.script.remove_gate();
    done(&world, saga, Act::Retry).await;
    world.run_until(saga, "completed").await;
    assert_eq!(cases(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_no_worker_takes_is_a_case() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    assert_eq!(world.engine.look_for_trouble(NONE).await.unwrap(), 1);
    let case = only_case(&world).await;
    assert_eq!((&*case.cause, case.step.as_deref()), ("no-progress", Some("one")));
    world.run_until(saga, "completed").await;
    assert_eq!(cases(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_saga_is_in_a_case_as_well_once() {
    let world = World::new().await;
    let mut tx = world.pool.begin().await.unwrap();
    let matter = |subject: &str, saga| Matter {
        cause: orchestrator::cases::INVARIANT,
        subject: subject.to_owned(),
        code: "invariant-1".to_owned(),
        gateway: None,
        message: "a seat twice".to_owned(),
        saga,
    };
    let saga = world.start("waiter").await;
    let matters = [matter("seat 1", None), matter("seat 2", Some(saga)), matter("seat 1", None)];
    open_in_tx(&mut tx, &matters).await.unwrap();
    tx.commit().await.unwrap();
    let case = only_case(&world).await;
    assert_eq!((case.count, &case.sagas[..], case.suggested_act()), (2, &[saga][..], "look"));
    keep(&world.pool, orchestrator::cases::INVARIANT, "order ", &[]).await.unwrap();
    assert_eq!(only_case(&world).await.count, 2, "nobody has looked at seats");
    let mut connection = world.pool.acquire().await.unwrap();
    for (subject, left) in [("seat 1", 1), ("seat 2", 0)] {
        close_in_tx(&mut connection, orchestrator::cases::INVARIANT, subject).await.unwrap();
        assert_eq!(cases(&world).await.iter().map(|case| case.count).sum::<i64>(), left);
    }
}
