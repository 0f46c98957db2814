//! Messages reach somebody at least once, or a person hears of them.

use super::bench::{Bench, is_between};
use crate::ground::Ground;
use async_trait::async_trait;
use orchestrator::{
    Store,
    outbox::{ATTEMPTS_MAX, Deliver, Message, dispatch_due},
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

async fn enqueue<G: Ground>(bench: &Bench<G>, payloads: impl IntoIterator<Item = i32>) {
    let message = |payload: i32| Message { topic: "test".to_owned(), payload: json!(payload) };
    let messages: Vec<_> = payloads.into_iter().map(message).collect();
    let mut tx = bench.begin().await;
    tx.enqueue(&messages).await.unwrap();
    bench.commit(tx).await;
}

pub(crate) async fn a_message_is_one_taker_s_for_a_while<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, [7]).await;
    let before = bench.now().await;
    let first = bench.store.due_messages(10).await.unwrap();
    assert_eq!((first.len(), first[0].attempts, &first[0].message.payload), (1, 1, &json!(7)));
    let kept = bench.messages().await.remove(0);
    assert_eq!((&kept.message, kept.attempts, kept.dead), (&first[0].message, 1, false));
    assert!(is_between(Some(kept.due_at), before, bench.now().await, 30), "{kept:?}");

    bench.let_pass(31).await;
    let second = bench.store.due_messages(10).await.unwrap();
    assert_eq!((second[0].message_id, second[0].attempts), (first[0].message_id, 2));
    // the first one comes to its end after all
    bench.store.delivered(&[first[0].message_id]).await.unwrap();
    bench.store.delivered(&[first[0].message_id]).await.unwrap();
    bench.store.postpone(&second[0], "late").await.unwrap();
    assert_eq!(bench.messages().await, []);
}

pub(crate) async fn what_failed_waits_longer_each_time_and_then_for_a_person<G: Ground>() {
    let bench = Bench::<G>::new().await;
    enqueue(&bench, [1]).await;
    for attempt in 1..=ATTEMPTS_MAX {
        let due = bench.store.due_messages(10).await.unwrap();
        assert_eq!(due[0].attempts, attempt);
        let before = bench.now().await;
        bench.store.postpone(&due[0], &format!("error {attempt}")).await.unwrap();
        let kept = bench.messages().await.remove(0);
        let pause = [2, 4, 8, 16, 32, 64, 128, 256].get(usize::try_from(attempt).unwrap() - 1).copied().unwrap_or(512);
        assert!(is_between(Some(kept.due_at), before, bench.now().await, pause), "{kept:?}");
        assert_eq!((kept.attempts, kept.dead), (attempt, attempt == ATTEMPTS_MAX));
        assert_eq!(kept.last_error, Some(format!("error {attempt}")));
        bench.let_pass(pause + 1).await;
    }
    bench.let_pass(100_000).await;
    assert_eq!(bench.store.due_messages(10).await.unwrap(), []);
}

pub(crate) async fn the_oldest_messages_are_taken_first<G: Ground>() {
    let bench = Bench::<G>::new().await;
    for payload in 0..4 {
        enqueue(&bench, [payload]).await;
        bench.let_pass(1).await;
    }
    for payload in 0..3 {
        let due = bench.store.due_messages(1).await.unwrap();
        let payloads: Vec<_> = due.into_iter().map(|due| due.message.payload).collect();
        assert_eq!(payloads, [json!(payload)]);
    }
    assert_eq!(bench.store.due_messages(5).await.unwrap().len(), 1);
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
    let (one, other) = tokio::join!(dispatch_due(&bench.store, &deliver, 50), dispatch_due(&other, &deliver, 50));
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
        assert_eq!(dispatch_due(&bench.store, &deliver, 10).await.unwrap(), 1);
        assert_eq!(bench.messages().await[0].last_error.as_deref(), Some("test is away"));
        bench.let_pass(5).await;
    }
    assert_eq!(dispatch_due(&bench.store, &deliver, 10).await.unwrap(), 1);
    assert_eq!(*deliver.delivered.lock().unwrap(), [json!(1)]);
    assert_eq!(bench.messages().await, []);
}
