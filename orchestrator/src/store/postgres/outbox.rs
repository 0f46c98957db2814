//! The outbox's rows.

use crate::{
    ids::fresh_uuid,
    outbox::{Destination, DueMessage, Message, Rest},
    store::Stored,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Writes messages in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn enqueue_in_tx(tx: &mut PgConnection, messages: &[Message]) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into engine.outbox (message_id, topic, payload, destination)
         select * from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[])",
        &messages.iter().map(|_| fresh_uuid()).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.topic.clone()).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.payload.clone()).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.destination.as_str().to_owned()).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn due(pool: &PgPool, destination: Destination, limit: i64) -> Stored<Vec<DueMessage>> {
    let rows = sqlx::query!(
        "update engine.outbox set attempts = attempts + 1,
                                  due_at = clock_timestamp() + make_interval(secs => $3::int4)
         where message_id = any(array(
             select message_id from engine.outbox
             where state = 'waiting' and destination = $1 and due_at <= clock_timestamp()
             order by due_at limit $2 for update skip locked))
         returning message_id, topic, payload, attempts",
        destination.as_str(),
        limit,
        destination.lease_secs(),
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| DueMessage {
            message_id: row.message_id,
            message: Message { topic: row.topic, payload: row.payload, destination },
            attempts: row.attempts,
        })
        .collect())
}

pub(super) async fn delivered(pool: &PgPool, messages: &[Uuid]) -> Stored<()> {
    sqlx::query!("delete from engine.outbox where message_id = any($1)", messages).execute(pool).await?;
    Ok(())
}

pub(super) async fn postpone(pool: &PgPool, message: &DueMessage, rest: Rest, error: &str) -> Stored<()> {
    let (state, pause_secs) = match rest {
        Rest::Pause(secs) => ("waiting", secs),
        Rest::Dead => ("dead", 0),
    };
    sqlx::query!(
        "update engine.outbox set state = $2, last_error = left($3, 500),
                due_at = clock_timestamp() + make_interval(secs => $4::int4)
         where message_id = $1",
        message.message_id,
        state,
        error.replace('\0', ""),
        pause_secs,
    )
    .execute(pool)
    .await?;
    Ok(())
}
