//! Sagas that go on in the place of others.

use super::{
    acts::{done, request},
    world::{View, World, start, words},
};
use orchestrator::{
    SagaId, Start,
    action::Halt,
    acts::{Act, ActAnswer, ActError},
    journal::Entry,
};
use serde_json::{Value, json};

pub(crate) fn fork(step: &str) -> Act {
    Act::Fork { step: step.to_owned(), input: None }
}

async fn refusal(world: &World, saga: SagaId, act: Act) -> String {
    let seq = world.view(saga).await.run.seq;
    match world.engine.act(request(saga, seq, act)).await {
        Err(ActError::NotAllowed(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// The keys by which a step's calls were made.
fn keys(view: &View, of: &str) -> Vec<String> {
    let intents = view.journal.iter().filter_map(|recorded| match &recorded.entry {
        Entry::Intended { step, intent, .. } if step == of => Some(intent["key"].as_str().unwrap().to_owned()),
        _ => None,
    });
    intents.collect()
}

/// Its first step is done, its second was refused, and a person has stopped it.
async fn killed_at_two(world: &World) -> SagaId {
    world.script.answer(Ok(json!({ "from": "one" })));
    world.script.answer(Err(Halt::transient("later", "not now")));
    let saga = world.start_with("halting", json!({ "n": 1 })).await;
    world.run_until(saga, "waiting").await;
    done(world, saga, Act::Kill).await;
    saga
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_taken_over_and_what_runs_again_has_the_same_key() {
    let world = World::new().await;
    let saga = killed_at_two(&world).await;
    let before = world.view(saga).await;
    let asked = request(saga, before.run.seq, fork("two"));
    let effects = world.engine.dry_run(&asked).await.unwrap();
    let planned: Vec<_> = effects.steps.iter().map(|planned| planned.step.as_str()).collect();
    assert_eq!(planned, ["two", "three", "four"]);
    let first = world.engine.act(asked.clone()).await.unwrap();
    let ActAnswer::Done { seq } = first else { panic!("{first:?}") };
    assert_eq!(world.engine.act(asked).await.unwrap(), ActAnswer::Replayed { seq }, "a double click");

    let forked = world.view(saga).await.run.forked_into.unwrap();
    let view = world.run_until(forked, "completed").await;
    assert_eq!(view.run.input, json!({ "n": 1 }));
    assert_eq!(view.outputs()["one"], json!({ "from": "one" }));
    assert_eq!(keys(&view, "two"), keys(&before, "two")[..1], "the other side knows the call again");
    assert_eq!(words(&view)[..3], ["started", "forkedFrom", "intended two"]);
    assert_eq!(world.script.calls().iter().filter(|call| *call == "do one").count(), 1, "it was not run again");
    let after = world.view(saga).await;
    assert_eq!(words(&after)[words(&before).len()..], ["acted", "forkedInto two"]);
    assert_eq!(after.run.state.as_str(), "killed");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_takes_back_what_it_has_taken_over() {
    let world = World::new().await;
    let saga = killed_at_two(&world).await;
    done(&world, saga, fork("two")).await;
    let forked = world.view(saga).await.run.forked_into.unwrap();
    done(&world, forked, Act::Cancel).await;
    world.run_until(forked, "compensated").await;
    assert!(world.script.calls().contains(&"undo one".to_owned()));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_at_once_one_goes_on() {
    let world = World::new().await;
    let saga = killed_at_two(&world).await;
    let seq = world.view(saga).await.run.seq;
    let acts = (0..20).map(|n| {
        let mut asked = request(saga, seq, fork("two"));
        asked.by = format!("operator {}", n % 4);
        world.engine.act(asked)
    });
    let answers = futures::future::join_all(acts).await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(ActAnswer::Done { .. }))).count(), 1, "{answers:?}");
    let forked = world.view(saga).await.run.forked_into.unwrap();
    assert!(refusal(&world, saga, fork("two")).await.contains(&forked.to_string()), "it names the one that goes on");
    world.run_until(forked, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_a_fork_has_the_keys_of_the_first() {
    let world = World::new().await;
    let first = killed_at_two(&world).await;
    done(&world, first, fork("two")).await;
    let second = world.view(first).await.run.forked_into.unwrap();
    done(&world, second, Act::Kill).await;
    done(&world, second, fork("two")).await;
    let third = world.view(second).await.run.forked_into.unwrap();
    let view = world.run_until(third, "completed").await;
    assert_eq!(keys(&view, "two"), keys(&world.view(first).await, "two")[..1]);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_fork_takes_the_input_that_is_given_if_it_has_the_right_form() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    done(&world, saga, Act::Kill).await;
    let given = |input: Value| Act::Fork { step: "wait".to_owned(), input: Some(input) };
    let seq = world.view(saga).await.run.seq;
    let wrong = world.engine.act(request(saga, seq, given(json!({ "signal": 5 })))).await;
    assert!(matches!(&wrong, Err(ActError::Invalid(mistakes)) if mistakes[0].pointer == "/signal"), "{wrong:?}");
    done(&world, saga, given(json!({ "signal": "now" }))).await;
    let forked = world.view(saga).await.run.forked_into.unwrap();
    world.run_until(forked, "waiting").await;
    world.engine.signal(forked, "now", json!({}), "test").await.unwrap();
    world.run_until(forked, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_on_is_not_forked() {
    let world = World::new().await;
    let live = world.start("waiter").await;
    world.run_until(live, "waiting").await;
    assert!(refusal(&world, live, fork("wait")).await.contains("still goes on"));
    done(&world, live, Act::Cancel).await;
    world.run_until(live, "compensated").await;
    assert!(refusal(&world, live, fork("wait")).await.contains("start a new one"));

    let killed = killed_at_two(&world).await;
    assert!(refusal(&world, killed, fork("three")).await.contains("`two` is not done"));
    assert!(refusal(&world, killed, fork("nine")).await.contains("no step `nine`"));

    let passed = world.start("halting").await;
    world.run_until(passed, "completed").await;
    for step in ["one", "three"] {
        assert!(refusal(&world, passed, fork(step)).await.contains("pivot"));
    }
    done(&world, passed, fork("four")).await;

    let child = Start { parent: Some(passed), ..start("waiter", "child", json!({})) };
    let child = world.engine.start(child).await.unwrap().saga_id();
    done(&world, child, Act::Kill).await;
    assert!(refusal(&world, child, fork("wait")).await.contains(&passed.to_string()));
    world.run_until(world.view(passed).await.run.forked_into.unwrap(), "completed").await;
    world.all_is_well().await;
}
