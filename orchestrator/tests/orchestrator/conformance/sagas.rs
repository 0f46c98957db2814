//! Sagas from their start to their end, whatever their steps answer.

use crate::{
    acts::done,
    ground::Ground,
    world::{World, go_on, start, waiter, words},
};
use orchestrator::{
    Settled, Store,
    action::{Halt, Probed},
    acts::Act,
    journal::{Entry, Recorded, StuckCause},
    store::Tx,
};
use serde_json::json;

pub(crate) async fn a_saga_completes_step_by_step<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
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

pub(crate) async fn what_fails_for_good_is_taken_back_in_reverse<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("no", "no")));
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(world.script.calls(), ["do one", "do two", "undo two", "undo one"]);
    assert_eq!(view.run.cause.unwrap().code, "no");
    world.all_is_well().await;
}

pub(crate) async fn what_fails_for_now_is_tried_again_and_then_given_up<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Err(Halt::transient("later", "later")));
    let saga = world.start("three-steps").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls()[..3], ["do one", "do one", "do two"]);

    let world = World::<G>::on_new_ground().await;
    for _ in 0..3 {
        world.script.answer(Err(Halt::transient("later", "later")));
    }
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(world.script.calls(), ["do one", "do one", "do one", "undo one"]);
    assert_eq!(view.run.cause.unwrap().code, "later");
    world.all_is_well().await;
}

pub(crate) async fn a_doubt_is_asked_about_before_anything_else<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Err(Halt::in_doubt("lost", "the answer was lost")));
    world.script.probe(Ok(Probed::Executed(json!({ "found": true }))));
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls()[..3], ["do one", "ask one", "do two"]);
    assert_eq!(view.outputs()["one"], json!({ "found": true }));

    let world = World::<G>::on_new_ground().await;
    world.script.answer(Err(Halt::in_doubt("lost", "the answer was lost")));
    world.script.probe(Ok(Probed::NotExecuted));
    let saga = world.start("three-steps").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls()[..4], ["do one", "ask one", "do one", "do two"]);
    world.all_is_well().await;
}

pub(crate) async fn doubt_that_lasts_is_not_taken_for_workers_that_die<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
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

pub(crate) async fn a_call_that_takes_too_long_is_in_doubt<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.close_gate();
    world.script.probe(Ok(Probed::Executed(json!({}))));
    let saga = world.start("timed").await;
    let view = world.run_until(saga, "completed").await;
    let doubted = |recorded: &Recorded| matches!(&recorded.entry, Entry::InDoubt { step, failure, .. } if step == "slow" && failure.code == "timeout");
    assert!(view.journal.iter().any(doubted), "{:?}", words(&view));
    world.all_is_well().await;
}

pub(crate) async fn past_the_pivot_a_refusal_is_for_a_person_and_a_retry_goes_on<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("no", "no")));
    let saga = world.start("three-steps").await;
    let view = world.run_until(saga, "stuck").await;
    let stuck = view.run.stuck.unwrap();
    assert_eq!((stuck.step.as_deref(), stuck.cause), (Some("four"), StuckCause::Refused));
    world.all_is_well().await;
    done(&world, saga, Act::Retry).await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.open_case(saga).await, None);
    world.all_is_well().await;
}

pub(crate) async fn a_signal_counts_before_and_after_it_is_waited_for<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
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

pub(crate) async fn a_signal_that_comes_between_plan_and_move_is_not_passed_over<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let engine = world.step_by_step();
    let saga = world.start("either").await;
    let claimed = world.claim(&engine, saga).await;
    let (claimed, report) = engine.execute(claimed).await;
    let claimed = match engine.settle(claimed, report).await {
        Settled::Continue(claimed) => claimed,
        _ => world.claim(&engine, saga).await,
    };
    // its time has come, and the worker has looked; then the signal comes
    let (claimed, report) = engine.execute(claimed).await;
    world.engine.signal(saga, "go", json!("signal"), "test").await.unwrap();
    let Settled::Continue(claimed) = engine.settle(claimed, report).await else { panic!("it is planned again") };
    go_on(&engine, claimed).await;
    assert_eq!(world.view(saga).await.outputs()["wait"]["payload"], json!("signal"));
    world.all_is_well().await;
}

pub(crate) async fn an_answer_outlives_a_person_s_retry_during_its_call<G: Ground>() {
    let lost = || Err(Halt::in_doubt("lost", "the answer was lost"));
    for (first, calls) in [
        (Err(Halt::transient("later", "later")), ["do one", "do one", "do two", "do four"]),
        (lost(), ["do one", "ask one", "do two", "do four"]),
    ] {
        let world = World::<G>::on_new_ground().await;
        world.script.answer(first);
        world.script.probe(Ok(Probed::Executed(json!({}))));
        let saga = world.start("three-steps").await;
        let claimed = world.claim(&world.engine, saga).await;
        let (claimed, report) = world.engine.execute(claimed).await;
        let claimed = match world.engine.settle(claimed, report).await {
            Settled::Continue(claimed) => claimed,
            _ => world.claim(&world.engine, saga).await,
        };
        let (claimed, report) = world.engine.execute(claimed).await;
        // which begins the policy anew
        done(&world, saga, Act::Retry).await;
        if let Settled::Continue(claimed) = world.engine.settle(claimed, report).await {
            go_on(&world.engine, claimed).await;
        }
        world.run_until(saga, "completed").await;
        assert_eq!(world.script.calls(), calls);
        world.all_is_well().await;
    }
}

pub(crate) async fn a_deadline_takes_back_what_waits<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("hasty").await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "deadline");
    assert!(view.journal.last().unwrap().at >= view.run.deadline_at.unwrap());
    world.all_is_well().await;
}

pub(crate) async fn a_saga_begins_when_it_is_asked_to_and_higher_priorities_come_first<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let soon = chrono::Duration::milliseconds(300);
    let now = world.store().begin().await.unwrap().now().await.unwrap();
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

pub(crate) async fn a_saga_waits_for_one_that_it_starts_by_key<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
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

pub(crate) async fn a_saga_that_is_left_to_itself_is_started_once_with_the_note<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Err(Halt::transient("later", "later")));
    let saga = world.start_with("leaving", json!({ "key": "k" })).await;
    let view = world.run_until(saga, "completed").await;
    let started = ["started", "intended leave", "noted leave", "failed leave", "intended leave", "noted leave"];
    assert_eq!(words(&view)[..6], started);
    // whoever waits for the same key finds it
    let parent = world.start_with("parent", json!({ "key": "k" })).await;
    world.run_until(parent, "completed").await;
    let mut calls = world.script.calls();
    calls.sort();
    assert_eq!(calls, ["leave leave", "leave leave", "write only"]);

    let saga = world.start_with("leaving", json!({ "key": "n", "definition": "not-there" })).await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(view.run.cause.as_ref().unwrap().code, "child");
    assert!(!words(&view).contains(&"noted leave".to_owned()));
    world.all_is_well().await;
}

pub(crate) async fn several_steps_wait_for_the_same_saga_also_from_inside_a_transaction<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
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

pub(crate) async fn running_sagas_stay_on_their_version<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let old = world.start("waiter").await;
    world.run_until(old, "waiting").await;
    world.bring(&[waiter("other")]).await;
    // a process that has not seen which version was active before
    let new = world.another().start(start("waiter", "new", json!({}))).await.unwrap().saga_id();
    for (saga, last) in [(new, "succeeded other"), (old, "succeeded end")] {
        world.engine.signal(saga, "go", json!({}), "test").await.unwrap();
        let journal = words(&world.run_until(saga, "completed").await);
        assert_eq!(journal[journal.len() - 2..], [last, "completed"]);
    }
    let (old, new) = (world.view(old).await, world.view(new).await);
    assert_eq!((old.run.version, new.run.version), (1, 2));
    world.all_is_well().await;
}
