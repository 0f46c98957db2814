//! Batches as people watch them.

use super::{
    BatchState, Work,
    start::{state_of, work_of},
};
use crate::ids::{BatchId, RefundId};
use chrono::{DateTime, Utc};
use orchestrator::ids::SagaId;
use serde_json::Value;
use sqlx::PgPool;

/// A batch, or the plan of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Which.
    pub batch_id: BatchId,
    /// What is done.
    pub work: Work,
    /// To which sagas or refunds, as the person has said it.
    pub filter: Value,
    /// Why, in the person's words.
    pub reason: String,
    /// Where it stands.
    pub state: BatchState,
    /// Who has planned it, and begins it.
    pub by: String,
    /// When it was planned.
    pub planned_at: DateTime<Utc>,
    /// When it was begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last act was carried out, or none was to be any more.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it came to its end before it was through.
    pub end_reason: Option<String>,
    /// Acts per second.
    pub rate_per_second: i32,
    /// How many sagas may be on their way at once.
    pub concurrency: i32,
    /// Of a thousand results, how many failures end it.
    pub abort_at_failure_permille: Option<i32>,
    /// How many sagas stand where.
    pub counts: Counts,
}

/// How many of a batch stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Their turn is to come.
    pub waiting: i64,
    /// Acted on, and not yet past what the act was for.
    pub still_running: i64,
    /// Past it.
    pub fixed: i64,
    /// Stopped again.
    pub failed_again: i64,
    /// The act was refused, or was not to be carried out any more.
    pub not_attempted: i64,
}

/// What has become of one saga or refund of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// Its place in the batch.
    pub position: i32,
    /// The saga: of a refund, the one that carries it out, if there is such a refund.
    pub saga_id: Option<SagaId>,
    /// The refund, where it is one that is acted on.
    pub refund_id: Option<RefundId>,
    /// What the plan has said.
    pub verdict: String,
    /// `waiting`, `stillRunning`, `fixed`, `failedAgain`, `notAttempted`.
    pub result: &'static str,
    /// Why it failed or was not attempted.
    pub detail: Option<String>,
}

/// Which of a batch. Members that are none let all through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemFilter<'a> {
    /// With this result.
    pub result: Option<&'a str>,
    /// Behind this position.
    pub after: Option<i32>,
}

/// What a stored state is called from outside; what is being done is not told from what was done.
const RESULTS: [(&str, &str); 6] = [
    ("waiting", "waiting"),
    ("acting", "stillRunning"),
    ("acted", "stillRunning"),
    ("fixed", "fixed"),
    ("failedAgain", "failedAgain"),
    ("notAttempted", "notAttempted"),
];

/// One batch.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, batch: BatchId) -> Result<Option<Batch>, sqlx::Error> {
    Ok(rows(pool, Some(batch), None, 1).await?.pop())
}

/// Batches that were begun, newest first: at most `limit` from before `before`.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, before: Option<BatchId>, limit: u32) -> Result<Vec<Batch>, sqlx::Error> {
    rows(pool, None, before, limit).await
}

async fn rows(
    pool: &PgPool,
    only: Option<BatchId>,
    before: Option<BatchId>,
    limit: u32,
) -> Result<Vec<Batch>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select b.batch_id, act, filter, reason, b.state, planned_by, planned_at, started_at, finished_at, end_reason,
               rate_per_second, concurrency, abort_at_failure_permille,
               c.waiting as "waiting!", c.still_running as "still_running!", c.fixed as "fixed!",
               c.failed_again as "failed_again!", c.not_attempted as "not_attempted!"
           from booking.batches b
           cross join lateral (
               select count(*) filter (where i.state = 'waiting') as waiting,
                   count(*) filter (where i.state in ('acting', 'acted')) as still_running,
                   count(*) filter (where i.state = 'fixed') as fixed,
                   count(*) filter (where i.state = 'failedAgain') as failed_again,
                   count(*) filter (where i.state = 'notAttempted') as not_attempted
               from booking.batch_items i where i.batch_id = b.batch_id
           ) c
           where case when $1::uuid is null then b.state <> 'planned' else b.batch_id = $1 end
               and ($2::uuid is null or b.batch_id < $2)
           order by b.batch_id desc limit $3"#,
        only.map(|batch| batch.0),
        before.map(|batch| batch.0),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let batch_id = BatchId(row.batch_id);
            Ok(Batch {
                batch_id,
                state: state_of(batch_id, &row.state)?,
                work: work_of(batch_id, &row.act)?,
                filter: row.filter,
                reason: row.reason,
                by: row.planned_by,
                planned_at: row.planned_at,
                started_at: row.started_at,
                finished_at: row.finished_at,
                end_reason: row.end_reason,
                rate_per_second: row.rate_per_second,
                concurrency: row.concurrency,
                abort_at_failure_permille: row.abort_at_failure_permille,
                counts: Counts {
                    waiting: row.waiting,
                    still_running: row.still_running,
                    fixed: row.fixed,
                    failed_again: row.failed_again,
                    not_attempted: row.not_attempted,
                },
            })
        })
        .collect()
}

/// What has become of each, in their order: at most `limit`.
///
/// # Errors
/// The database's.
pub async fn items(
    pool: &PgPool,
    batch: BatchId,
    filter: ItemFilter<'_>,
    limit: u32,
) -> Result<Vec<BatchItem>, sqlx::Error> {
    let states = filter.result.map(|result| {
        let named = RESULTS.iter().filter(|(_, outside)| *outside == result);
        named.map(|(state, _)| (*state).to_owned()).collect::<Vec<_>>()
    });
    let rows = sqlx::query!(
        "select position, saga_id, refund_id, verdict, state, detail from booking.batch_items
         where batch_id = $1 and ($2::text[] is null or state = any($2)) and ($3::integer is null or position > $3)
         order by position limit $4",
        batch.0,
        states.as_deref(),
        filter.after,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let result =
        |state: &str| RESULTS.iter().find(|(known, _)| *known == state).map_or("waiting", |(_, result)| result);
    let items = rows.into_iter().map(|row| BatchItem {
        position: row.position,
        saga_id: row.saga_id.map(SagaId),
        refund_id: row.refund_id.map(RefundId),
        verdict: row.verdict,
        result: result(&row.state),
        detail: row.detail,
    });
    Ok(items.collect())
}
