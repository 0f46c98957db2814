//! A plan as people read it.

use super::BadLine;
use crate::{
    ids::{BatchId, RefundId},
    money::{Money, currency_from_code},
    orders::impossible,
};
use serde::Deserialize;
use sqlx::PgPool;

/// How many refunds of a group are named.
const NAMED_MAX: i32 = 500;

/// A plan: nothing is done yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedReplays {
    /// Under which name it is begun; none when there is nothing to begin.
    pub batch_id: Option<BatchId>,
    /// What would be done, the most frequent first.
    pub groups: Vec<ReplayGroup>,
    /// Lines of a file that name nothing that could be tried again.
    pub bad_lines: Vec<BadLine>,
    /// Who has made it, and begins it.
    pub by: String,
    /// It was not there before.
    pub is_new: bool,
}

/// Refunds of which the same is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayGroup {
    /// What would be done, or why it would not.
    pub verdict: String,
    /// Whether it would be done.
    pub would_act: bool,
    /// How many.
    pub count: i64,
    /// The first of them.
    pub refunds: Vec<RefundId>,
    /// What is outstanding of all of them, by currency.
    pub amounts: Vec<Money>,
}

impl PlannedReplays {
    /// A file that names nothing that could be tried again.
    pub(super) fn of_nothing(bad_lines: Vec<BadLine>, by: String) -> Self {
        Self { batch_id: None, groups: Vec::new(), bad_lines, by, is_new: true }
    }

    /// Whether a second person has to consent before anything is done.
    #[must_use]
    pub fn needs_second_person(&self) -> bool {
        self.groups.iter().filter(|group| group.would_act).map(|group| group.count).sum::<i64>() > 1
    }
}

/// The plan that was made from this file.
pub(super) async fn of_file(pool: &PgPool, digest: &[u8; 32]) -> Result<Option<PlannedReplays>, sqlx::Error> {
    let batch = sqlx::query_scalar!("select batch_id from booking.batches where file_digest = $1", digest.as_slice())
        .fetch_optional(pool)
        .await?;
    match batch {
        Some(batch) => of_batch(pool, BatchId(batch), false).await,
        None => Ok(None),
    }
}

/// The plan of this name, as it was made.
pub(super) async fn of_batch(
    pool: &PgPool,
    batch: BatchId,
    is_new: bool,
) -> Result<Option<PlannedReplays>, sqlx::Error> {
    let row = sqlx::query!("select filter, planned_by from booking.batches where batch_id = $1", batch.0)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let bad_lines = match row.filter.get("badLines") {
        Some(lines) => {
            Vec::<BadLine>::deserialize(lines).map_err(|error| impossible("booking.batches", "filter", batch, error))?
        }
        None => Vec::new(),
    };
    Ok(Some(PlannedReplays {
        batch_id: Some(batch),
        groups: groups(pool, batch).await?,
        bad_lines,
        by: row.planned_by,
        is_new,
    }))
}

async fn groups(pool: &PgPool, batch: BatchId) -> Result<Vec<ReplayGroup>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select verdict, would_act as "would_act!", currency, count(*) as "count!",
               coalesce(sum(outstanding_minor), 0)::bigint as "outstanding_minor!",
               (array_agg(refund_id order by position))[:$2] as "refunds!: Vec<sqlx::types::Uuid>"
           from booking.batch_items where batch_id = $1
           group by verdict, would_act, currency order by verdict, currency"#,
        batch.0,
        NAMED_MAX
    )
    .fetch_all(pool)
    .await?;
    let mut groups: Vec<ReplayGroup> = Vec::new();
    for row in rows {
        let amount = match row.currency {
            None => None,
            Some(code) => {
                let currency = currency_from_code(&code)
                    .map_err(|error| impossible("booking.batch_items", "currency", batch, error))?;
                Some(Money::new(row.outstanding_minor, currency))
            }
        };
        let refunds = row.refunds.into_iter().map(RefundId);
        match groups.last_mut().filter(|last| last.verdict == row.verdict) {
            Some(group) => {
                group.count += row.count;
                group.refunds.extend(refunds);
                group.refunds.truncate(NAMED_MAX.unsigned_abs() as usize);
                group.amounts.extend(amount);
            }
            None => groups.push(ReplayGroup {
                verdict: row.verdict,
                would_act: row.would_act,
                count: row.count,
                refunds: refunds.collect(),
                amounts: amount.into_iter().collect(),
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(groups)
}
