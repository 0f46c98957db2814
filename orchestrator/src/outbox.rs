//! The transactional outbox: what must reach somebody else at least once, committed with what caused it.

use crate::ids::fresh_uuid;
use async_trait::async_trait;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use uuid::Uuid;

/// After this many failed deliveries a message is dead: it is kept for a person, and not sent again by itself.
pub const ATTEMPTS_MAX: i32 = 30;
/// How long a delivery may take before another process tries it as well, in seconds.
const DELIVERY_LEASE_SECS: i32 = 30;
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

/// Writes messages in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn enqueue_in_tx(tx: &mut PgConnection, messages: &[Message]) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into engine.outbox (message_id, topic, payload)
         select * from unnest($1::uuid[], $2::text[], $3::jsonb[])",
        &messages.iter().map(|_| fresh_uuid()).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.topic.clone()).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.payload.clone()).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Delivers up to `limit` messages that are due, and says how many there were.
///
/// # Errors
/// The database's; a failed delivery is none, it is tried again.
pub async fn dispatch_due(pool: &PgPool, deliver: &dyn Deliver, limit: i64) -> Result<usize, sqlx::Error> {
    let due = sqlx::query!(
        "update engine.outbox set attempts = attempts + 1,
                                  due_at = clock_timestamp() + make_interval(secs => $2::int4)
         where message_id = any(array(
             select message_id from engine.outbox
             where state = 'waiting' and due_at <= clock_timestamp()
             order by due_at limit $1 for update skip locked))
         returning message_id, topic, payload, attempts",
        limit,
        DELIVERY_LEASE_SECS,
    )
    .fetch_all(pool)
    .await?;
    let mut delivered = Vec::with_capacity(due.len());
    for message in &due {
        let delivering = tokio::time::timeout(DELIVERY_MAX, deliver.deliver(&message.topic, &message.payload));
        match delivering.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {DELIVERY_MAX:?}"))) {
            Ok(()) => delivered.push(message.message_id),
            Err(error) => postpone(pool, message.message_id, message.attempts, &message.topic, &error).await?,
        }
    }
    sqlx::query!("delete from engine.outbox where message_id = any($1)", &delivered).execute(pool).await?;
    Ok(due.len())
}

async fn postpone(
    pool: &PgPool,
    message_id: Uuid,
    attempts: i32,
    topic: &str,
    error: &anyhow::Error,
) -> Result<(), sqlx::Error> {
    tracing::warn!(message.id = %message_id, topic, attempts, error = %error, "A message could not be delivered: {error}");
    let pause_secs = 1_i32.checked_shl(attempts.clamp(0, 9).unsigned_abs()).unwrap_or(512);
    sqlx::query!(
        "update engine.outbox set last_error = left($2, 500),
                due_at = clock_timestamp() + make_interval(secs => $3::int4),
                state = case when attempts >= $4 then 'dead' else 'waiting' end
         where message_id = $1",
        message_id,
        error.to_string().replace('\0', ""),
        pause_secs,
        ATTEMPTS_MAX,
    )
    .execute(pool)
    .await?;
    Ok(())
}
