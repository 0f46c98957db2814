//! Messages reach somebody at least once, or a person hears of them.

use super::bench::{Bench, is_between};
use crate::ground::Ground;
use async_trait::async_trait;
use orchestrator::{
    Store,
    outbox::{Deliver, Destination, Message, Refused, Rest, dispatch_due},
    store::Tx,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicI32, Ordering},
    },
};

const INSIDE: Destination = Destination::Inside;
const OUTSIDE: Destination = Destination::Outside;

async fn enqueue<G: Ground>(bench: &Bench<G>, payloads: impl IntoIterator<Item = i32>) {
    enqueue_to(bench, INSIDE, payloads).await;
}

async fn enqueue_to<G: Ground>(bench: &Bench<G>, destination: Destination, payloads: impl IntoIterator<Item = i32>) {
    let message = |payload: i32| Message { topic: "test".to_owned(), payload: json!(payload), destination };
    let messages: Vec<_> = payloads.into_iter().map(message).collect();
    let mut tx = bench.begin().await;
    tx.enqueue(&messages).await.unwrap();
    bench.commit(tx).await;
}

pub(crate) async fn a_message_is_one_taker_s_for_a_while<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, [7]).await;
    let before = bench.now().await;
    let first = bench.store.due_messages(INSIDE, 10).await.unwrap();
    assert_eq!((first.len(), first[0].attempts, &first[0].message.payload), (1, 1, &json!(7)));
    let kept = bench.messages().await.remove(0);
    assert_eq!((&kept.message, kept.attempts, kept.dead), (&first[0].message, 1, false));
    assert!(is_between(Some(kept.due_at), before, bench.now().await, 30), "{kept:?}");

    bench.let_pass(31).await;
    let second = bench.store.due_messages(INSIDE, 10).await.unwrap();
    assert_eq!((second[0].message_id, second[0].attempts), (first[0].message_id, 2));
    // the first one comes to its end after all
    bench.store.delivered(&[first[0].message_id]).await.unwrap();
    bench.store.delivered(&[first[0].message_id]).await.unwrap();
    bench.store.postpone(&second[0], Rest::Pause(1), "late").await.unwrap();
    assert_eq!(bench.messages().await, []);
}

pub(crate) async fn what_failed_waits_longer_each_time_and_then_for_a_person<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, [1]).await;
    let last = INSIDE.attempts_max();
    let deliver = Failing { times: AtomicI32::new(i32::MAX), ..Failing::default() };
    for attempt in 1..=last {
        let before = bench.now().await;
        assert_eq!(dispatch_due(&bench.store, &deliver, INSIDE, 10).await.unwrap(), 1);
        let kept = bench.messages().await.remove(0);
        let pause = [2, 4, 8, 16, 32, 64, 128, 256].get(usize::try_from(attempt).unwrap() - 1).copied().unwrap_or(512);
        let pause = if attempt == last { 0 } else { pause };
        assert!(is_between(Some(kept.due_at), before, bench.now().await, pause), "{kept:?}");
        assert_eq!((kept.attempts, kept.dead), (attempt, attempt == last));
        assert_eq!(kept.last_error.as_deref(), Some("test is away"));
        bench.let_pass(pause + 1).await;
    }
    bench.let_pass(100_000).await;
    assert_eq!(bench.store.due_messages(INSIDE, 10).await.unwrap(), []);
}

pub(crate) async fn the_oldest_messages_are_taken_first<G: Ground>() {
    let bench = Bench::<G>::new().await;
    for payload in 0..4 {
        enqueue(&bench, [payload]).await;
        bench.let_pass(1).await;
    }
    for payload in 0..3 {
        let due = bench.store.due_messages(INSIDE, 1).await.unwrap();
        let payloads: Vec<_> = due.into_iter().map(|due| due.message.payload).collect();
        assert_eq!(payloads, [json!(payload)]);
    }
    assert_eq!(bench.store.due_messages(INSIDE, 5).await.unwrap().len(), 1);
}

/// Fails so many times.
#[derive(Default)]
struct Failing {
    times: AtomicI32,
    delivered: Mutex<Vec<Value>>,
}

#[async_trait]
impl Deliver for Failing {
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error> {
        anyhow::ensure!(self.times.fetch_sub(1, Ordering::SeqCst) <= 0, "{topic} is away");
        self.delivered.lock().unwrap().push(payload.clone());
        Ok(())
    }
}

pub(crate) async fn takers_at_once_share<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, 0..50).await;
    let (deliver, other) = (Failing::default(), bench.store());
    let (one, other) =
        tokio::join!(dispatch_due(&bench.store, &deliver, INSIDE, 50), dispatch_due(&other, &deliver, INSIDE, 50));
    assert_eq!(one.unwrap() + other.unwrap(), 50);
    let delivered: HashSet<_> = deliver.delivered.into_inner().unwrap().into_iter().map(|v| v.as_i64()).collect();
    assert_eq!(delivered.len(), 50);
    assert_eq!(bench.messages().await, []);
}

pub(crate) async fn what_could_not_be_delivered_is_delivered_later<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, [1]).await;
    let deliver = Failing { times: AtomicI32::new(2), ..Failing::default() };
    for _ in 0..2 {
        assert_eq!(dispatch_due(&bench.store, &deliver, INSIDE, 10).await.unwrap(), 1);
        assert_eq!(bench.messages().await[0].last_error.as_deref(), Some("test is away"));
        bench.let_pass(5).await;
    }
    assert_eq!(dispatch_due(&bench.store, &deliver, INSIDE, 10).await.unwrap(), 1);
    assert_eq!(*deliver.delivered.lock().unwrap(), [json!(1)]);
    assert_eq!(bench.messages().await, []);
}

/// Says that it will never take anything.
struct Refusing;

#[async_trait]
impl Deliver for Refusing {
    async fn deliver(&self, topic: &str, _: &Value) -> Result<(), anyhow::Error> {
        Err(Refused(format!("{topic} is not taken here")).into())
    }
}

pub(crate) async fn what_was_refused_is_a_person_s_at_once<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, [1]).await;
    assert_eq!(dispatch_due(&bench.store, &Refusing, INSIDE, 10).await.unwrap(), 1);
    let kept = bench.messages().await.remove(0);
    assert_eq!((kept.attempts, kept.dead, kept.last_error.as_deref()), (1, true, Some("test is not taken here")));
    bench.let_pass(100_000).await;
    assert_eq!(bench.store.due_messages(INSIDE, 10).await.unwrap(), []);
}

pub(crate) async fn what_goes_elsewhere_is_not_taken_and_not_waited_for<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue_to(&bench, OUTSIDE, 0..5).await;
    bench.let_pass(1).await;
    enqueue(&bench, [7]).await;
    let inside = bench.store.due_messages(INSIDE, 1).await.unwrap();
    assert_eq!((&inside[0].message.payload, inside[0].message.destination), (&json!(7), INSIDE));
    assert_eq!(bench.store.due_messages(INSIDE, 10).await.unwrap(), []);

    let before = bench.now().await;
    let outside = bench.store.due_messages(OUTSIDE, 10).await.unwrap();
    assert!(outside.iter().all(|due| due.message.destination == OUTSIDE));
    let kept = bench.messages().await;
    let after = bench.now().await;
    let leased = kept.iter().filter(|kept| kept.message.destination == OUTSIDE);
    assert_eq!(leased.filter(|kept| is_between(Some(kept.due_at), before, after, 90)).count(), 5, "{kept:?}");
}
