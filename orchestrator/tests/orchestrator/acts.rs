//! What people do, at most once, and only on what they have seen.

use super::world::{World, start};
use orchestrator::{
    SagaId, Start,
    acts::{Act, ActAnswer, ActError, ActRequest},
};
use serde_json::json;

pub(crate) fn request(saga: SagaId, seq: i64, act: Act) -> ActRequest {
    ActRequest { saga_id: saga, act, reason: "a test".to_owned(), seq, by: "olga".to_owned(), address: None }
}

/// Does it on what the saga is now.
pub(crate) async fn done(world: &World, saga: SagaId, act: Act) {
    let seq = world.view(saga).await.run.seq;
    world.engine.act(request(saga, seq, act)).await.unwrap();
}

async fn recorded(world: &World, outcome: &str) -> i64 {
    sqlx::query_scalar("select count(*) from engine.acts where outcome = $1 and object like 'sag_%'")
        .bind(outcome)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clicks_are_one_act_with_one_answer() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    let seq = world.run_until(saga, "waiting").await.run.seq;
    let clicks = (0..20).map(|_| world.engine.act(request(saga, seq, Act::Cancel)));
    let answers = futures::future::join_all(clicks).await;
    let done = answers.iter().filter(|answer| matches!(answer, Ok(ActAnswer::Done { .. }))).count();
    let again = answers.iter().filter(|answer| matches!(answer, Ok(ActAnswer::Replayed { .. }))).count();
    assert_eq!((done, again), (1, 19), "{answers:?}");
    assert_eq!(recorded(&world, "done").await, 1);
    world.run_until(saga, "compensated").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_different_acts_one_is_told_that_the_saga_has_moved() {
    let world = World::new().await;
    for _ in 0..100 {
        let saga = world.start("waiter").await;
        let seq = world.view(saga).await.run.seq;
        let signal = Act::Signal { name: "x".to_owned(), payload: json!(1) };
        let (signalled, cancelled) = tokio::join!(
            world.engine.act(request(saga, seq, signal)),
            world.engine.act(request(saga, seq, Act::Cancel))
        );
        let refused =
            [&signalled, &cancelled].into_iter().filter(|a| matches!(a, Err(ActError::MovedOn { .. }))).count();
        assert_eq!(refused, 1, "{signalled:?} {cancelled:?}");
    }
    assert_eq!((recorded(&world, "done").await, recorded(&world, "refused").await), (100, 100));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_retry_and_a_cancel_one_is_done() {
    let world = World::new().await;
    for _ in 0..100 {
        world.script.answer(Err(orchestrator::action::Halt::transient("later", "later")));
        let saga = world.start("slow").await;
        let seq = world.run_until(saga, "waiting").await.run.seq;
        let (retry, cancel) = tokio::join!(
            world.engine.act(request(saga, seq, Act::Retry)),
            world.engine.act(request(saga, seq, Act::Cancel))
        );
        match (&retry, &cancel) {
            (Ok(ActAnswer::Done { .. }), Err(ActError::MovedOn { .. })) => {
                world.run_until(saga, "completed").await;
            }
            (Err(ActError::MovedOn { .. }), Ok(ActAnswer::Done { .. })) => {
                world.run_until(saga, "compensated").await;
            }
            both => panic!("{both:?}"),
        }
    }
    assert_eq!((recorded(&world, "done").await, recorded(&world, "refused").await), (100, 100));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_answered_again_although_the_saga_has_gone_on() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    let seq = world.run_until(saga, "waiting").await.run.seq;
    let signal = Act::Signal { name: "x".to_owned(), payload: json!(1) };
    let first = world.engine.act(request(saga, seq, signal.clone())).await.unwrap();
    assert_eq!(first, ActAnswer::Done { seq: seq + 1 });
    done_again(&world, saga, seq, signal).await;
    done(&world, saga, Act::Cancel).await;
    world.run_until(saga, "compensated").await;
    done_again(&world, saga, seq, Act::Signal { name: "x".to_owned(), payload: json!(1) }).await;
    // another body is another act, on a saga that has moved on
    let other = Act::Signal { name: "x".to_owned(), payload: json!(2) };
    let refused = world.engine.act(request(saga, seq, other)).await;
    assert!(matches!(refused, Err(ActError::MovedOn { .. })), "{refused:?}");
    world.all_is_well().await;
}

async fn done_again(world: &World, saga: SagaId, seq: i64, act: Act) {
    let again = world.engine.act(request(saga, seq, act)).await.unwrap();
    assert_eq!(again, ActAnswer::Replayed { seq: seq + 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_saga_is_a_worker_s_until_it_is_taken_back() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    done(&world, saga, Act::Cancel).await;
    let view = world.view(saga).await;
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
async fn a_kill_stops_without_taking_back_and_leaves_a_case() {
    let world = World::new().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    done(&world, saga, Act::Kill).await;
    assert_eq!(world.view(saga).await.run.state.as_str(), "killed");
    let cause: String = sqlx::query_scalar("select cause from engine.cases where saga_id = $1")
        .bind(saga.0)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(cause, "killed");
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
    assert_eq!(allowed.len(), 3, "{why}");
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
