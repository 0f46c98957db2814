//! One saga of each shape there is, run for real.

use crate::{
    acts, forks,
    world::{World, start},
};
use orchestrator::{
    Engine, EngineSettings, NoProjection, SagaId,
    action::{Halt, Probed, Registry, Wait},
    acts::Act,
    demo,
    run::Phase,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Its name, what happened to it, and where it is.
type Shape = (&'static str, &'static str, SagaId, World);

/// All of them.
pub(super) async fn all() -> Vec<Shape> {
    let mut shapes = straight().await;
    shapes.extend(in_doubt().await);
    shapes.extend(waiting().await);
    shapes.extend(with_people().await);
    shapes
}

fn later() -> Halt {
    Halt::transient("later", "not now")
}

fn never() -> Halt {
    Halt::permanent("never", "not at all")
}

fn lost() -> Halt {
    Halt::in_doubt("lost", "the answer was lost")
}

fn parked() -> Halt {
    Halt::Parked { after: Duration::ZERO, reason: "a breaker".to_owned() }
}

/// A saga of this definition that gets these answers, one after another, and ends so.
async fn ran(definition: &str, answers: Vec<Option<Halt>>, state: &str) -> (SagaId, World) {
    let world = World::new().await;
    for halt in answers {
        world.script.answer(halt.map_or_else(|| Ok(json!({ "told": true })), Err));
    }
    let saga = world.start(definition).await;
    world.run_until(saga, state).await;
    (saga, world)
}

fn shape(name: &'static str, about: &'static str, (saga, world): (SagaId, World)) -> Shape {
    (name, about, saga, world)
}

async fn straight() -> Vec<Shape> {
    vec![
        shape("completed", "Every step was done at once.", ran("three-steps", vec![], "completed").await),
        shape(
            "refused",
            "The second step is refused for good, and the first is taken back.",
            ran("three-steps", vec![None, Some(never())], "compensated").await,
        ),
        shape(
            "tried-again",
            "Transient failures, and then it is done.",
            ran("three-steps", vec![Some(later()), Some(later())], "completed").await,
        ),
        shape(
            "given-up",
            "Transient failures until no attempt is left.",
            ran("three-steps", vec![Some(later()), Some(later()), Some(later())], "compensated").await,
        ),
        shape(
            "parked",
            "A breaker is open twice; no attempt is used up.",
            ran("three-steps", vec![Some(parked()), Some(parked())], "completed").await,
        ),
        shape(
            "taking-back-is-hard",
            "The compensation is parked, fails, is in doubt, and is done in the end.",
            ran(
                "regretful",
                vec![None, Some(never()), Some(parked()), Some(later()), Some(lost()), None],
                "compensated",
            )
            .await,
        ),
        shape("noted", "Something was learned in the middle of a call.", noted().await),
        shape("begins-later", "It has a start time, tags, a parent and a priority.", begins_later().await),
        shape("too-late", "Its deadline passes while it waits.", ran("hasty", vec![], "compensated").await),
    ]
}

async fn noted() -> (SagaId, World) {
    let world = World::new().await;
    *world.script.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(100)));
    let saga = world.start("three-steps").await;
    world.run_until(saga, "completed").await;
    (saga, world)
}

async fn begins_later() -> (SagaId, World) {
    let world = World::new().await;
    let parent = world.start("one-step").await;
    let mut later = start("three-steps", "later", json!({ "for": "later", "amount": 4500 }));
    later.starts_at = Some(world.view(parent).await.run.created_at + chrono::TimeDelta::milliseconds(50));
    later.tags = [("order".to_owned(), "ord_1".to_owned())].into();
    later.parent = Some(parent);
    later.priority = 3;
    let saga = world.engine.start(later).await.unwrap().saga_id();
    world.run_until(saga, "completed").await;
    (saga, world)
}

async fn in_doubt() -> Vec<Shape> {
    let asked = |found: Vec<_>, state| async move {
        let world = World::new().await;
        world.script.answer(Err(lost()));
        found.into_iter().for_each(|found| world.script.probe(found));
        let saga = world.start("three-steps").await;
        world.run_until(saga, state).await;
        (saga, world)
    };
    vec![
        shape(
            "doubt-executed",
            "The answer is lost; the probe does not know either, and then finds that it was done.",
            asked(vec![Err(lost()), Ok(Probed::Executed(json!({ "found": true })))], "completed").await,
        ),
        shape(
            "doubt-not-executed",
            "The answer is lost; it had not been done, and is done again.",
            asked(vec![Ok(Probed::NotExecuted)], "completed").await,
        ),
        shape(
            "doubt-refused",
            "The answer is lost; it had been refused.",
            asked(
                vec![Ok(Probed::Refused(orchestrator::action::Failure::new("declined", "by the other side")))],
                "compensated",
            )
            .await,
        ),
        shape(
            "doubt-lasts",
            "The answer is lost, and nobody ever knows: the compensation takes it from there.",
            asked(vec![Err(lost()), Err(lost())], "compensated").await,
        ),
        shape(
            "doubt-past-the-pivot",
            "The answer is lost where there is no way back: it is asked about until it is known.",
            ran("patient", vec![Some(lost()), Some(lost())], "completed").await,
        ),
    ]
}

async fn waiting() -> Vec<Shape> {
    let wait = Wait { signal: Some("go".to_owned()), reason: "somebody".to_owned(), ..Wait::default() };
    let signalled = {
        let (saga, world) = ran("waiter", vec![], "waiting").await;
        world.engine.signal(saga, "other", json!({ "unasked": true }), "test").await.unwrap();
        world.engine.signal(saga, "go", json!({ "n": 1 }), "test").await.unwrap();
        world.run_until(saga, "completed").await;
        (saga, world)
    };
    let taking_back = {
        let (saga, world) = ran("regretful", vec![None, Some(never()), Some(Halt::Wait(wait))], "compensating").await;
        while !matches!(world.view(saga).await.run.step("one").compensation.phase, Phase::Waiting(_)) {
            world.turn(&world.engine).await;
        }
        world.engine.signal(saga, "go", json!({}), "test").await.unwrap();
        world.run_until(saga, "compensated").await;
        (saga, world)
    };
    let parent = {
        let world = World::new().await;
        let saga = world.start_with("parent", json!({ "key": "k" })).await;
        world.run_until(saga, "completed").await;
        (saga, world)
    };
    vec![
        shape("waits", "It waits for a signal.", ran("waiter", vec![], "waiting").await),
        shape("signalled", "It waits for a signal; another comes, and then that one.", signalled),
        shape(
            "time-came",
            "It waits for a signal or a time; the time comes.",
            ran("either", vec![], "completed").await,
        ),
        shape("taking-back-waits", "A compensation waits for a signal.", taking_back),
        shape("child", "It starts another saga by key and waits for its end.", parent),
    ]
}

async fn with_people() -> Vec<Shape> {
    let act = |definition, answers, state, act: Act, then| async move {
        let (saga, world) = ran(definition, answers, state).await;
        acts::done(&world, saga, act).await;
        world.run_until(saga, then).await;
        (saga, world)
    };
    let doubted = {
        let (saga, world) = ran("doubtful", vec![Some(lost())], "waiting").await;
        acts::done(&world, saga, Act::Cancel).await;
        world.run_until(saga, "compensated").await;
        (saga, world)
    };
    vec![
        shape(
            "cancelled",
            "Cancelled while it waits.",
            act("waiter", vec![], "waiting", Act::Cancel, "compensated").await,
        ),
        shape("cancelled-in-doubt", "Cancelled while a call is in doubt.", doubted),
        shape("killed", "Killed while it waits.", act("waiter", vec![], "waiting", Act::Kill, "killed").await),
        shape(
            "stuck",
            "Refused past the pivot: it is in front of a person.",
            ran("patient", vec![Some(never())], "stuck").await,
        ),
        shape(
            "stuck-retried",
            "Refused past the pivot; a person has it tried again.",
            act("patient", vec![Some(never())], "stuck", Act::Retry, "completed").await,
        ),
        shape(
            "stuck-cancelled",
            "Stuck before the pivot, because its workers died; a person has it taken back.",
            cancelled_when_stuck().await,
        ),
        shape(
            "taking-back-stuck",
            "Its compensation uses up all attempts; a person has it tried again.",
            act(
                "regretful",
                vec![None, Some(never()), Some(later()), Some(later()), Some(later()), Some(later())],
                "stuck",
                Act::Retry,
                "compensated",
            )
            .await,
        ),
        shape("unknown", "A release that does not know its action takes it.", unknown().await),
        shape("paused", "Paused while it waits, then resumed.", paused().await),
        shape(
            "skipped",
            "Refused past the pivot; a person has it go on without the step.",
            act("patient", vec![Some(never())], "stuck", skip("ask"), "completed").await,
        ),
        shape(
            "completed-on-evidence",
            "Refused past the pivot; a person shows that it was done otherwise.",
            act("patient", vec![Some(never())], "stuck", complete("ask"), "completed").await,
        ),
        shape("input-given", "It waits; a person has it wait for another signal.", input_given().await),
        shape("forked-into", "It was stopped; another saga goes on in its place.", forked(false).await),
        shape("forked-from", "It goes on in the place of one that was stopped.", forked(true).await),
        shape(
            "asked-at-once",
            "In doubt; a person has the other side asked at once.",
            act("doubtful", vec![Some(lost())], "waiting", Act::Probe, "waiting").await,
        ),
    ]
}

async fn paused() -> (SagaId, World) {
    let (saga, world) = ran("waiter", vec![], "waiting").await;
    acts::done(&world, saga, Act::Pause { until: None }).await;
    world.turn(&world.engine).await;
    acts::done(&world, saga, Act::Resume).await;
    world.engine.signal(saga, "go", json!({}), "test").await.unwrap();
    world.run_until(saga, "completed").await;
    (saga, world)
}

async fn input_given() -> (SagaId, World) {
    let (saga, world) = ran("waiter", vec![], "waiting").await;
    let edit = Act::EditInput { step: "wait".to_owned(), input: json!({ "signal": "now" }) };
    acts::done(&world, saga, edit).await;
    world.engine.signal(saga, "now", json!({}), "test").await.unwrap();
    world.run_until(saga, "completed").await;
    (saga, world)
}

async fn forked(is_the_fork: bool) -> (SagaId, World) {
    let (saga, world) = ran("patient", vec![Some(never())], "stuck").await;
    acts::done(&world, saga, Act::Kill).await;
    acts::done(&world, saga, forks::fork("ask")).await;
    let fork = world.view(saga).await.run.forked_into.unwrap();
    world.run_until(fork, "completed").await;
    (if is_the_fork { fork } else { saga }, world)
}

fn skip(step: &str) -> Act {
    Act::Skip { step: step.to_owned(), output: json!({ "skipped": true }) }
}

fn complete(step: &str) -> Act {
    Act::Complete { step: step.to_owned(), output: json!({ "by": "hand" }), evidence: "a letter".to_owned() }
}

async fn cancelled_when_stuck() -> (SagaId, World) {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    sqlx::query("update engine.ready set claims = 9 where saga_id = $1")
        .bind(saga.0)
        .execute(&world.pool)
        .await
        .unwrap();
    world.run_until(saga, "stuck").await;
    acts::done(&world, saga, Act::Cancel).await;
    world.run_until(saga, "compensated").await;
    (saga, world)
}

async fn unknown() -> (SagaId, World) {
    let world = World::new().await;
    let saga = world.start("three-steps").await;
    let mut registry = Registry::new();
    demo::register(&mut registry).unwrap();
    let other = Engine::new(EngineSettings::default(), world.pool.clone(), Arc::new(registry), Arc::new(NoProjection));
    while world.view(saga).await.run.state.as_str() != "stuck" {
        world.turn(&other).await;
    }
    (saga, world)
}
