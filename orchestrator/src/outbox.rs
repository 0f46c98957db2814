//! The transactional outbox: what must reach somebody else at least once, committed with what caused it.

use crate::store::Store;
pub use crate::store::enqueue_in_tx;
use async_trait::async_trait;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// After this many failed deliveries a message is dead: it is kept for a person, and not sent again by itself.
pub const ATTEMPTS_MAX: i32 = 30;
/// How long a delivery may take before another process tries it as well, in seconds.
pub(crate) const DELIVERY_LEASE_SECS: i32 = 30;
/// How long one delivery may take at all.
const DELIVERY_MAX: Duration = Duration::from_secs(20);

/// Something to be delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What kind of message: `seats.free`, `engine.signal`.
    pub topic: String,
    /// What it says. No secrets, no addresses: references.
    pub payload: Value,
}

/// Delivers messages; may get one more than once.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Delivers one.
    ///
    /// # Errors
    /// Any error has it tried again later.
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error>;
}

/// A message that is due, taken for delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct DueMessage {
    /// Which.
    pub message_id: Uuid,
    /// What it says.
    pub message: Message,
    /// Deliveries that were begun, this one included.
    pub attempts: i32,
}

/// How long a message rests after so many failed deliveries, in seconds.
pub(crate) fn pause_secs(attempts: i32) -> i32 {
    1_i32.checked_shl(attempts.clamp(0, 9).unsigned_abs()).unwrap_or(512)
}

/// Delivers up to `limit` messages that are due, and says how many there were.
///
/// # Errors
/// The database's; a failed delivery is none, it is tried again.
pub async fn dispatch_due<S: Store>(store: &S, deliver: &dyn Deliver, limit: i64) -> Result<usize, sqlx::Error> {
    let due = store.due_messages(limit).await?;
    let mut delivered = Vec::with_capacity(due.len());
    for one in &due {
        let Message { topic, payload } = &one.message;
        let delivering = tokio::time::timeout(DELIVERY_MAX, deliver.deliver(topic, payload));
        match delivering.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {DELIVERY_MAX:?}"))) {
            Ok(()) => delivered.push(one.message_id),
            Err(error) => {
                tracing::warn!(
                    message.id = %one.message_id, topic, attempts = one.attempts, error = %error,
                    "A message could not be delivered: {error}"
                );
                store.postpone(one, &error.to_string()).await?;
            }
        }
    }
    if !delivered.is_empty() {
        store.delivered(&delivered).await?;
    }
    Ok(due.len())
}
