//! Waiting for orders. However many buyers wait, one query asks for all of them, and only while somebody waits.

use super::OrderStatus;
use crate::ids::OrderId;
use orchestrator::ids::Uuid;
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// How long anybody may wait.
const WAIT_SECS_MAX: u64 = 30;
/// How often the database is asked.
const POLL_MS: u64 = 100;
/// How many orders one query asks for.
const ORDERS_PER_QUERY: usize = 2_000;

/// Tells who waits for an order when it is settled or needs its buyer.
#[derive(Debug, Clone)]
pub struct OrderWaits {
    pool: PgPool,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: HashMap<Uuid, Vec<oneshot::Sender<()>>>,
    /// Somebody asks the database already.
    polled: bool,
}

impl OrderWaits {
    /// Over this database.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, waiting: Arc::default() }
    }

    /// Waits until the order is settled or needs its buyer, or the time (at most 30 seconds) is over.
    pub async fn wait(&self, order: OrderId, at_most: Duration) {
        let (told, settled) = oneshot::channel();
        let first = {
            let mut waiting = self.lock();
            waiting.orders.entry(order.0).or_default().push(told);
            !std::mem::replace(&mut waiting.polled, true)
        };
        if first {
            tokio::spawn(self.clone().poll());
        }
        // Whatever ends it, the caller looks at the order next.
        let _ended = tokio::time::timeout(at_most.min(Duration::from_secs(WAIT_SECS_MAX)), settled).await;
    }

    /// How many orders are waited for now.
    #[must_use]
    pub fn waited_for(&self) -> usize {
        self.lock().orders.len()
    }

    async fn poll(self) {
        while let Some(orders) = self.wanted() {
            for some in orders.chunks(ORDERS_PER_QUERY) {
                match settled(&self.pool, some).await {
                    Ok(settled) => self.tell(&settled),
                    Err(error) => tracing::warn!(%error, "cannot look at the orders that buyers wait for"),
                }
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// The orders that somebody still waits for; none, and nobody asks any more.
    fn wanted(&self) -> Option<Vec<Uuid>> {
        let mut waiting = self.lock();
        waiting.orders.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        waiting.polled = !waiting.orders.is_empty();
        waiting.polled.then(|| waiting.orders.keys().copied().collect())
    }

    fn tell(&self, orders: &[Uuid]) {
        let mut waiting = self.lock();
        for waiter in orders.iter().filter_map(|order| waiting.orders.remove(order)).flatten() {
            // A waiter that has gone needs no news.
            let _gone = waiter.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn settled(pool: &PgPool, orders: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    let unsettled: Vec<String> = OrderStatus::ALL
        .into_iter()
        .filter(|status| !status.is_settled())
        .map(|status| status.as_str().to_owned())
        .collect();
    sqlx::query_scalar!(
        "select order_id from booking.orders where order_id = any($1) and status <> all($2)",
        orders,
        &unsettled
    )
    .fetch_all(pool)
    .await
}
