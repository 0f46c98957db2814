//! What people do, at most once, and only on what they have seen.

use super::{
    ground::Ground,
    world::{World, start},
};
use orchestrator::{
    SagaId, Start,
    acts::{Act, ActError, ActRequest},
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
    assert_eq!(allowed.len(), 3, "{why}");
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
