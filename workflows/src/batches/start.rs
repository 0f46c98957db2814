//! Beginning a batch, holding it up and ending it.

use super::{BatchEvent, BatchState, Work};
use crate::{ids::BatchId, orders::impossible};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is so now.
    Now(BatchState),
    /// It was so already, by the same person.
    Already(BatchState),
}

/// Why a batch was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is none.
    #[error("there is no such batch")]
    NotFound,
    /// Only whoever has made a plan begins it: the acts are recorded in that name.
    #[error("the plan was made by {0}: make one of your own")]
    PlannedByAnother(String),
    /// Its plan refuses all of it.
    #[error("nothing would be done: the plan refuses all of it; plan again when that has changed")]
    NothingToDo,
    /// Where it stands forbids it.
    #[error("{0}")]
    NotAllowed(String),
    /// The database's.
    #[error("changing the batch")]
    Database(#[from] sqlx::Error),
}

/// A plan as it would be begun.
#[derive(Debug, Clone, PartialEq)]
pub struct ToStart {
    /// What would be done.
    pub work: Work,
    /// To how many.
    pub count: i64,
    /// Why, in the words of the one who has planned it.
    pub reason: String,
    /// All that matters of it.
    pub content: Value,
    /// Where it stands.
    pub state: BatchState,
}

/// What a plan would do, for whoever has made it.
///
/// # Errors
/// See [`ChangeError`].
pub async fn to_start(pool: &PgPool, batch: BatchId, by: Author<'_>) -> Result<ToStart, ChangeError> {
    let mut connection = pool.acquire().await?;
    to_start_in_tx(&mut connection, batch, by).await
}

async fn to_start_in_tx(tx: &mut PgConnection, batch: BatchId, by: Author<'_>) -> Result<ToStart, ChangeError> {
    let row = sqlx::query!(
        r#"select act, filter, reason, state, planned_by, rate_per_second, concurrency, abort_at_failure_permille,
               (select count(*) from booking.batch_items i
                where i.batch_id = b.batch_id and coalesce(i.would_act, i.state <> 'notAttempted')) as "count!",
               (select jsonb_object_agg(o.currency, o.amount_minor) from (
                    select i.currency, sum(i.outstanding_minor) as amount_minor from booking.batch_items i
                    where i.batch_id = b.batch_id and i.would_act and i.currency is not null group by i.currency
                ) o) as outstanding_minor
           from booking.batches b where batch_id = $1 for update"#,
        batch.0
    )
    .fetch_optional(tx)
    .await?
    .ok_or(ChangeError::NotFound)?;
    if row.planned_by != by.name {
        return Err(ChangeError::PlannedByAnother(row.planned_by));
    }
    let work = work_of(batch, &row.act)?;
    let mut content = json!({
        "act": row.act, "filter": row.filter, "ratePerSecond": row.rate_per_second,
        "concurrency": row.concurrency, "abortAtFailurePermille": row.abort_at_failure_permille,
    });
    match work {
        Work::Acts(_) => content["sagas"] = row.count.into(),
        Work::Replays => {
            content["refunds"] = row.count.into();
            content["outstandingMinor"] = row.outstanding_minor.unwrap_or_default();
        }
    }
    Ok(ToStart { work, count: row.count, reason: row.reason, content, state: state_of(batch, &row.state)? })
}

/// Begins a plan, once: again is the same batch.
///
/// # Errors
/// See [`ChangeError`].
pub async fn start(pool: &PgPool, batch: BatchId, by: Author<'_>) -> Result<Changed, ChangeError> {
    let mut tx = pool.begin().await?;
    let changed = start_in_tx(&mut tx, batch, by, None).await?;
    tx.commit().await?;
    Ok(changed)
}

/// The same in the caller's transaction; with `consented`, only if it is what somebody has consented to.
pub(crate) async fn start_in_tx(
    tx: &mut PgConnection,
    batch: BatchId,
    by: Author<'_>,
    consented: Option<&Value>,
) -> Result<Changed, ChangeError> {
    let plan = to_start_in_tx(&mut *tx, batch, by).await?;
    let state = plan.state;
    let Ok(running) = state.on(BatchEvent::Started) else { return Ok(Changed::Already(state)) };
    if plan.count == 0 {
        return Err(ChangeError::NothingToDo);
    }
    if consented.is_some_and(|content| *content != plan.content) {
        return Err(ChangeError::NotAllowed("the plan is not what was asked for".to_owned()));
    }
    sqlx::query!(
        "update booking.batches
         set state = $2, started_by = $3, address = $4, started_at = now(), turned_at = now() where batch_id = $1",
        batch.0,
        running.as_str(),
        by.name,
        by.address.map(|address| address.to_string())
    )
    .execute(&mut *tx)
    .await?;
    record(tx, batch, "batch.start", &plan.reason, by, state).await?;
    Ok(Changed::Now(running))
}

/// Holds it up, lets it go on, or ends it. What is on its way at that moment comes to its end.
///
/// # Errors
/// See [`ChangeError`].
pub async fn change(
    pool: &PgPool,
    batch: BatchId,
    event: BatchEvent,
    reason: &str,
    by: Author<'_>,
) -> Result<Changed, ChangeError> {
    let mut tx = pool.begin().await?;
    let state = sqlx::query_scalar!("select state from booking.batches where batch_id = $1 for update", batch.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(ChangeError::NotFound)?;
    let state = state_of(batch, &state)?;
    let next = match state.on(event) {
        Ok(next) => next,
        Err(_) if already(state, event) => return Ok(Changed::Already(state)),
        Err(refused) => return Err(ChangeError::NotAllowed(refused.to_string())),
    };
    if next == BatchState::Aborted {
        abort_in_tx(&mut tx, batch, reason).await?;
    } else {
        sqlx::query!(
            "update booking.batches set state = $2, turned_at = now() where batch_id = $1",
            batch.0,
            next.as_str()
        )
        .execute(&mut *tx)
        .await?;
    }
    record(&mut tx, batch, act_of(event), reason, by, state).await?;
    tx.commit().await?;
    Ok(Changed::Now(next))
}

/// Ends a batch: what nobody has begun with is not attempted.
pub(super) async fn abort_in_tx(tx: &mut PgConnection, batch: BatchId, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.batch_items set state = 'notAttempted', detail = 'the batch was aborted'
         where batch_id = $1 and state = 'waiting'",
        batch.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update booking.batches set state = 'aborted', finished_at = now(), end_reason = $2 where batch_id = $1",
        batch.0,
        reason
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Whether the event has left it where it is.
fn already(state: BatchState, event: BatchEvent) -> bool {
    matches!(
        (state, event),
        (BatchState::Paused, BatchEvent::Paused)
            | (BatchState::Running, BatchEvent::Resumed)
            | (BatchState::Aborted, BatchEvent::Aborted)
    )
}

fn act_of(event: BatchEvent) -> &'static str {
    match event {
        BatchEvent::Started => "batch.start",
        BatchEvent::Paused => "batch.pause",
        BatchEvent::Resumed => "batch.resume",
        BatchEvent::Aborted | BatchEvent::RanOut => "batch.abort",
    }
}

async fn record(
    tx: &mut PgConnection,
    batch: BatchId,
    act: &str,
    reason: &str,
    by: Author<'_>,
    before: BatchState,
) -> Result<(), sqlx::Error> {
    let detail = json!({ "before": before.as_str() });
    record_in_tx(tx, &DoneAct { by, act, object: &batch.to_string(), reason, detail }).await
}

pub(super) fn work_of(batch: BatchId, act: &str) -> Result<Work, sqlx::Error> {
    act.parse().map_err(|error| impossible("booking.batches", "act", batch, error))
}

pub(super) fn state_of(batch: BatchId, state: &str) -> Result<BatchState, sqlx::Error> {
    state.parse().map_err(|error| impossible("booking.batches", "state", batch, error))
}
