//! Messages as people see them: which could not be delivered and why, and another try for one of them.

use crate::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
    engine::Engine,
    ids::MessageId,
    journal::Moment,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use uuid::Uuid;

/// Whether a message is still tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptState {
    /// It is delivered when it is due.
    Waiting,
    /// A person must say so first.
    Dead,
}

impl KeptState {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }
}

/// A message that has not been delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptMessage {
    /// Which: later ones have greater ids.
    pub message_id: MessageId,
    /// What kind of message.
    pub topic: String,
    /// What it says.
    pub payload: Value,
    /// Where it goes: `inside`, `outside` or `operators`.
    pub destination: String,
    /// Whether it is still tried.
    pub state: KeptState,
    /// Deliveries that were begun.
    pub attempts: i32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// Since when it is there.
    pub created_at: Moment,
    /// When it is delivered next, unless it is dead.
    pub due_at: Moment,
}

struct Row {
    message_id: Uuid,
    topic: String,
    payload: Value,
    destination: String,
    state: String,
    attempts: i32,
    last_error: Option<String>,
    created_at: Moment,
    due_at: Moment,
}

impl From<Row> for KeptMessage {
    fn from(row: Row) -> Self {
        Self {
            message_id: MessageId(row.message_id),
            topic: row.topic,
            payload: row.payload,
            destination: row.destination,
            state: if row.state == KeptState::Dead.as_str() { KeptState::Dead } else { KeptState::Waiting },
            attempts: row.attempts,
            last_error: row.last_error,
            created_at: row.created_at,
            due_at: row.due_at,
        }
    }
}

impl Engine {
    /// At most `limit` messages before `before`, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn kept_messages(
        &self,
        state: Option<KeptState>,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<KeptMessage>, sqlx::Error> {
        let rows = sqlx::query_as!(
            Row,
            "select message_id, topic, payload, destination, state, attempts, last_error, created_at, due_at
             from engine.outbox
             where ($1::text is null or state = $1) and ($2::uuid is null or message_id < $2)
             order by message_id desc
             limit $3",
            state.map(KeptState::as_str),
            before.map(|before| before.0),
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(KeptMessage::from).collect())
    }

    /// Has a dead message tried again, from now on and as often as a new one, and writes down who wanted it. One that
    /// is tried anyway is left as it is, so that asking twice does nothing more. None: it is not there any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn retry_message(
        &self,
        message: MessageId,
        by: Author<'_>,
        reason: &str,
    ) -> Result<Option<KeptMessage>, sqlx::Error> {
        let mut tx = self.pool().begin().await?;
        let kept = sqlx::query_as!(
            Row,
            "select message_id, topic, payload, destination, state, attempts, last_error, created_at, due_at
             from engine.outbox where message_id = $1 for update",
            message.0
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(mut kept) = kept.map(KeptMessage::from) else { return Ok(None) };
        if kept.state == KeptState::Waiting {
            // its row is let go at once: whoever sends passes over what is locked
            tx.rollback().await?;
            return Ok(Some(kept));
        }
        let detail = json!({ "topic": kept.topic, "attempts": kept.attempts, "lastError": kept.last_error });
        kept.due_at = sqlx::query_scalar!(
            "update engine.outbox set state = 'waiting', attempts = 0, due_at = clock_timestamp()
             where message_id = $1 returning due_at",
            message.0
        )
        .fetch_one(&mut *tx)
        .await?;
        (kept.state, kept.attempts) = (KeptState::Waiting, 0);
        let object = message.to_string();
        record_in_tx(&mut tx, &DoneAct { by, act: "outbox.retry", object: &object, reason, detail }).await?;
        tx.commit().await?;
        Ok(Some(kept))
    }
}

/// Forgets messages that have been there for longer than `age`, a batch at a time, and tells how many.
///
/// # Errors
/// The database's.
pub async fn expire(pool: &PgPool, age: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let seconds = i32::try_from(age.as_secs()).unwrap_or(i32::MAX);
    let done = sqlx::query!(
        // ids grow with time, so that no index on the time is needed
        "delete from engine.outbox where message_id in (
             select message_id
             from (select message_id, created_at from engine.outbox order by message_id limit $2) as oldest
             where created_at < now() - make_interval(secs => $1::int4))",
        seconds,
        limit
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
