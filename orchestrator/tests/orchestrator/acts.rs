//! What people do, at most once, and only on what they have seen.

use super::{
    ground::Ground,
    world::{World, start, words},
};
use orchestrator::{
    SagaId, Start,
    action::Halt,
    acts::{Act, ActError, ActRequest},
    journal::Entry,
};
use serde_json::json;

pub(crate) fn request(saga: SagaId, seq: i64, act: Act) -> ActRequest {
    ActRequest { saga_id: saga, act, reason: "a test".to_owned(), seq, by: "olga".to_owned(), address: None }
}

/// Does it on what the saga is now.
pub(crate) async fn done<G: Ground>(world: &World<G>, saga: SagaId, act: Act) {
    let seq = world.view(saga).await.run.seq;
    world.engine.act(request(saga, seq, act)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_saga_is_a_worker_s_until_it_is_taken_back() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    done(&world, saga, Act::Cancel).await;
    let view = world.engine.saga(saga).await.unwrap().unwrap();
    assert_eq!(view.listed.waiting_on, "worker");
    world.run_until(saga, "compensated").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_forbids_what_it_forbids() {
    let world = World::new().await;
    let saga = world.start("one-step").await;
    let seq = world.run_until(saga, "completed").await.run.seq;
    for act in [Act::Retry, Act::Cancel, Act::Kill, Act::Signal { name: "x".to_owned(), payload: json!(1) }] {
        let refused = world.engine.act(request(saga, seq, act)).await;
        assert!(matches!(&refused, Err(ActError::NotAllowed(why)) if why.contains("completed")), "{refused:?}");
    }
    let nobody = world.engine.act(request(SagaId::fresh(), 1, Act::Kill)).await;
    assert!(matches!(nobody, Err(ActError::NotFound)));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_what_is_waited_for_and_what_can_be_done() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    let why = serde_json::to_value(world.engine.why(saga).await.unwrap().unwrap()).unwrap();
    assert_eq!(why["waitingOn"], "signal");
    assert!(why["sentence"].as_str().unwrap().contains("waits in `wait`"), "{why}");
    let allowed: Vec<_> = why["acts"].as_array().unwrap().iter().filter(|act| act["allowed"] == true).collect();
    let allowed: Vec<_> = allowed.iter().map(|act| act["act"].as_str().unwrap()).collect();
    assert_eq!(allowed, ["skip", "complete", "edit-input", "pause", "cancel", "kill", "signal"], "{why}");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_what_is_due_and_keeps_to_codes_where_words_are_not_for_all() {
    let world = World::new().await;
    let later = "2050-01-01T00:00:00Z";
    let start = Start { starts_at: Some(later.parse().unwrap()), ..start("one-step", "later", json!({})) };
    let saga = world.engine.start(start).await.unwrap().saga_id();
    let why = world.engine.why(saga).await.unwrap().unwrap();
    assert!(why.sentence.ends_with(&format!("for its start time, due at {later}.")), "{}", why.sentence);
    let cancel = ActRequest { reason: "a wish.".to_owned(), ..request(saga, 1, Act::Cancel) };
    world.engine.act(cancel).await.unwrap();
    world.run_until(saga, "compensated").await;
    let why = world.engine.why(saga).await.unwrap().unwrap();
    assert_eq!(why.sentence, "Everything it did was taken back because: cancelled by olga: a wish.");
    assert_eq!(why.sentence_by_codes, "Everything it did was taken back because: cancelled.");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_hang_up_lose_nothing() {
    let world = World::new().await;
    let sagas = futures::future::join_all((0..50).map(|_| world.start("waiter"))).await;
    for (n, saga) in sagas.iter().enumerate() {
        let engine = world.engine.clone();
        let request = request(*saga, 1, Act::Cancel);
        let acting = tokio::spawn(async move { engine.act(request).await });
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        acting.abort();
    }
    // whatever was acknowledged or cut off: what is written now stays written
    for n in 0..50 {
        let saga = world.start("one-step").await;
        assert_eq!(world.view(saga).await.run.seq, 1, "start {n} vanished");
    }
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_another_counts_on_is_not_cancelled_by_itself() {
    let world = World::new().await;
    let parent = SagaId::fresh();
    let child = Start { parent: Some(parent), ..start("waiter", "child", json!({})) };
    let child = world.engine.start(child).await.unwrap().saga_id();
    let seq = world.run_until(child, "waiting").await.run.seq;
    let refused = world.engine.act(request(child, seq, Act::Cancel)).await;
    assert!(matches!(&refused, Err(ActError::NotAllowed(why)) if why.contains(&parent.to_string())), "{refused:?}");
    let why = world.engine.why(child).await.unwrap().unwrap();
    assert!(why.acts.iter().any(|option| option.act == "cancel" && !option.allowed));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_a_saga_up_and_nobody_claims_it() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    done(&world, saga, Act::Pause { until: None }).await;
    // what comes meanwhile is kept
    world.engine.signal(saga, "go", json!({}), "test").await.unwrap();
    world.turn(&world.engine).await;
    world.turn(&world.engine).await;
    let view = world.engine.saga(saga).await.unwrap().unwrap();
    assert_eq!((view.listed.state.as_str(), view.listed.waiting_on.as_str()), ("paused", "person"));
    assert!(world.engine.claim("test", 1).await.unwrap().is_empty());
    world.all_is_well().await;
    done(&world, saga, Act::Resume).await;
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_in_the_middle_of_a_call_keeps_its_answer() {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let gate = world.script.close_gate();
    let claimed = world.claim(&world.engine, saga).await;
    let engine = world.engine.clone();
    let going = tokio::spawn(async move { super::world::go_on(&engine, claimed).await });
    world.script.entered.notified().await;
    done(&world, saga, Act::Pause { until: None }).await;
    world.script.remove_gate();
    gate.add_permits(1);
    going.await.unwrap();
    let view = world.view(saga).await;
    assert_eq!(view.run.state.as_str(), "paused");
    assert_eq!(view.outputs()["one"], json!({ "did": "one" }), "its answer is kept");
    world.turn(&world.engine).await;
    assert_eq!(world.script.calls(), ["do one"], "nothing more was begun");
    done(&world, saga, Act::Resume).await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls(), ["do one", "do two", "do four"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_with_an_end_is_woken_by_the_clock() {
    let world = World::new().await;
    let saga = world.start("one-step").await;
    let until = world.view(saga).await.journal[0].at + chrono::TimeDelta::milliseconds(300);
    done(&world, saga, Act::Pause { until: Some(until) }).await;
    world.run_until(saga, "completed").await;
    let seen = words(&world.view(saga).await);
    assert_eq!(seen, ["started", "acted", "paused", "resumed", "succeeded only", "completed"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_step_is_completed_on_evidence_and_its_case_is_closed() {
    let world = World::new().await;
    let saga = world.start("patient").await;
    world.script.answer(Err(Halt::permanent("no", "never")));
    world.run_until(saga, "stuck").await;
    let complete = Act::Complete {
        step: "ask".to_owned(),
        output: json!({ "by": "hand" }),
        evidence: "the bank's letter of today".to_owned(),
    };
    let other = Act::Skip { step: "begin".to_owned(), output: json!({}) };
    let seq = world.view(saga).await.run.seq;
    let refused = world.engine.act(request(saga, seq, other)).await;
    assert!(matches!(&refused, Err(ActError::NotAllowed(why)) if why.contains("stands at `ask`")), "{refused:?}");
    done(&world, saga, complete).await;
    let view = world.run_until(saga, "completed").await;
    assert_eq!(view.outputs()["ask"], json!({ "by": "hand" }));
    let evidence = view.journal.iter().any(|recorded| {
        matches!(&recorded.entry, Entry::Acted { evidence: Some(evidence), .. } if evidence.contains("letter"))
    });
    assert!(evidence && world.script.calls() == ["do ask"]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_tried_again_with_the_input_that_is_given_if_it_has_the_right_form() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    let seq = world.run_until(saga, "waiting").await.run.seq;
    let edit = |input| Act::EditInput { step: "wait".to_owned(), input };
    let refused = world.engine.act(request(saga, seq, edit(json!({ "signal": 5 })))).await;
    assert!(matches!(&refused, Err(ActError::Invalid(mistakes)) if mistakes[0].pointer == "/signal"), "{refused:?}");
    let seq = world.view(saga).await.run.seq;
    let dry = world.engine.dry_run(&request(saga, seq, edit(json!({ "signal": "now" })))).await.unwrap();
    assert!(dry.summary.contains("with the input that is given"), "{dry:?}");
    done(&world, saga, edit(json!({ "signal": "now" }))).await;
    world.run_until(saga, "waiting").await;
    world.engine.signal(saga, "now", json!({}), "test").await.unwrap();
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}
