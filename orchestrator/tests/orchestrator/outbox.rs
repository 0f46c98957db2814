//! Messages reach somebody at least once, or a person hears of them.

use super::world::World;
use async_trait::async_trait;
use orchestrator::{
    Postgres,
    outbox::{ATTEMPTS_MAX, Deliver, Message, dispatch_due, enqueue_in_tx},
};
use serde_json::{Value, json};
use std::sync::{
    Mutex,
    atomic::{AtomicI32, Ordering},
};

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

async fn enqueue(world: &World, payload: Value) {
    let mut tx = world.pool.begin().await.unwrap();
    enqueue_in_tx(&mut tx, &[Message { topic: "test".to_owned(), payload }]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn left(world: &World, state: &str) -> i64 {
    sqlx::query_scalar("select count(*) from engine.outbox where state = $1")
        .bind(state)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

async fn hurry(world: &World) {
    sqlx::query("update engine.outbox set due_at = now()").execute(&world.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_is_tried_again_later() {
    let world = World::new().await;
    let store = Postgres::new(world.pool.clone());
    enqueue(&world, json!(1)).await;
    let deliver = Failing { times: AtomicI32::new(1), ..Failing::default() };
    assert_eq!(dispatch_due(&store, &deliver, 10).await.unwrap(), 1);
    assert_eq!(dispatch_due(&store, &deliver, 10).await.unwrap(), 0, "not at once");
    hurry(&world).await;
    assert_eq!(dispatch_due(&store, &deliver, 10).await.unwrap(), 1);
    assert_eq!(*deliver.delivered.lock().unwrap(), [json!(1)]);
    assert_eq!(left(&world, "waiting").await, 0);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_delivered_is_kept_for_a_person() {
    let world = World::new().await;
    let store = Postgres::new(world.pool.clone());
    enqueue(&world, json!(1)).await;
    let deliver = Failing { times: AtomicI32::new(i32::MAX), ..Failing::default() };
    for attempt in 1..=ATTEMPTS_MAX {
        assert_eq!(left(&world, "waiting").await, 1, "attempt {attempt}");
        hurry(&world).await;
        assert_eq!(dispatch_due(&store, &deliver, 10).await.unwrap(), 1);
    }
    hurry(&world).await;
    assert_eq!(dispatch_due(&store, &deliver, 10).await.unwrap(), 0);
    assert_eq!((left(&world, "waiting").await, left(&world, "dead").await), (0, 1));
    let error: String =
        sqlx::query_scalar("select last_error from engine.outbox").fetch_one(&world.pool).await.unwrap();
    assert_eq!(error, "test is away");
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dispatchers_do_not_deliver_the_same_message_at_once() {
    let world = World::new().await;
    let store = Postgres::new(world.pool.clone());
    for n in 0..50 {
        enqueue(&world, json!(n)).await;
    }
    let deliver = Failing::default();
    let (one, other) = tokio::join!(dispatch_due(&store, &deliver, 50), dispatch_due(&store, &deliver, 50));
    assert_eq!(one.unwrap() + other.unwrap(), 50);
    assert_eq!(deliver.delivered.lock().unwrap().len(), 50);
    world.all_is_well().await;
}
