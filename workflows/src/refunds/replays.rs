//! Replays of many refunds: planned here, with what would become of each, and carried out as a batch
//! ([`crate::batches`]) by what carries out a replay of one ([`super::replay`]).

mod file;
mod look;
mod shown;
mod verdict;

pub use file::{BadLine, FILE_BYTES_MAX, FileError, ReplayFile, read};
pub use shown::{PlannedReplays, ReplayGroup};

use super::{RefundFilter, list};
use crate::{
    batches::{Limits, NewBatch, NewItem, SAGAS_MAX, Subject, Work, keep},
    ids::{BatchId, RefundId},
    payments::Gateways,
};
use look::Found;
use orchestrator::Engine;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};

/// How many refunds are listed at once.
const PAGE_REFUNDS: u32 = 500;

/// Which refunds.
#[derive(Debug, Clone)]
pub enum Selection {
    /// These.
    Refunds(Vec<RefundId>),
    /// All that a list with this filter would show.
    Matching(RefundFilter),
    /// Those of another batch that have failed again.
    FailedAgainIn(BatchId),
    /// Those that a file names.
    File(ReplayFile),
}

/// What a person thinks of having tried again.
#[derive(Debug, Clone)]
pub struct PlanReplays {
    /// Which refunds.
    pub selection: Selection,
    /// The same, as the person has said it.
    pub filter: Value,
    /// How fast.
    pub limits: Limits,
    /// Why, in the person's words.
    pub reason: String,
    /// Who.
    pub by: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanReplaysError {
    /// Too many.
    #[error("more than {SAGAS_MAX} refunds match: ask for fewer")]
    TooMany,
    /// None.
    #[error("no refund matches")]
    Nothing,
    /// The database's.
    #[error("planning replays")]
    Database(#[from] sqlx::Error),
}

/// Finds the refunds, asks their gateways where nobody knows what became of them, says what would become of each, and keeps
/// that. The same file again is the same plan, whoever brings it; where nothing would be done, it may be another one later.
///
/// # Errors
/// See [`PlanReplaysError`].
pub async fn plan(
    engine: &Engine,
    gateways: &Gateways,
    wanted: PlanReplays,
) -> Result<PlannedReplays, PlanReplaysError> {
    let pool = engine.pool();
    let PlanReplays { selection, mut filter, limits, reason, by } = wanted;
    let mut digest = None;
    let refunds = match selection {
        Selection::File(file) => {
            if let Some(known) = shown::of_file(pool, &file.digest).await? {
                return Ok(known);
            }
            let (refunds, bad_lines) = file.find(pool).await?;
            if refunds.is_empty() {
                return Ok(PlannedReplays::of_nothing(bad_lines, by));
            }
            digest = Some(file.digest);
            filter["badLines"] = json!(bad_lines);
            refunds
        }
        selection => select(pool, selection).await?,
    };
    if refunds.is_empty() {
        return Err(PlanReplaysError::Nothing);
    }
    if refunds.len() > SAGAS_MAX {
        return Err(PlanReplaysError::TooMany);
    }
    let found = look::look(engine, gateways, &refunds).await?;
    let items = items(&refunds, &found);
    let digest = digest.filter(|_| items.iter().any(|item| item.would_act));
    let new = NewBatch {
        batch_id: BatchId::fresh(),
        work: Work::Replays,
        filter: &filter,
        limits,
        reason: &reason,
        by: &by,
        file_digest: digest.as_ref().map(<[u8; 32]>::as_slice),
    };
    let batch_id = if keep(pool, &new, &items).await? { Some(new.batch_id) } else { None };
    let planned = match (batch_id, digest) {
        (Some(batch_id), _) => shown::of_batch(pool, batch_id, true).await?,
        // two have brought it at the same time
        (None, Some(digest)) => shown::of_file(pool, &digest).await?,
        (None, None) => None,
    };
    planned.ok_or_else(|| PlanReplaysError::Database(sqlx::Error::RowNotFound))
}

async fn select(pool: &PgPool, selection: Selection) -> Result<Vec<RefundId>, sqlx::Error> {
    match selection {
        Selection::Refunds(refunds) => {
            let mut seen = HashSet::new();
            Ok(refunds.into_iter().filter(|refund| seen.insert(*refund)).collect())
        }
        Selection::Matching(filter) => matching(pool, filter).await,
        Selection::FailedAgainIn(batch) => {
            let refunds = sqlx::query_scalar!(
                r#"select refund_id as "refund_id!" from booking.batch_items
                   where batch_id = $1 and state = 'failedAgain' and refund_id is not null order by position"#,
                batch.0
            );
            Ok(refunds.fetch_all(pool).await?.into_iter().map(RefundId).collect())
        }
        Selection::File(file) => Ok(file.find(pool).await?.0),
    }
}

/// No refund changes its place in the list: as many reads as it takes miss none and tell none twice.
async fn matching(pool: &PgPool, filter: RefundFilter) -> Result<Vec<RefundId>, sqlx::Error> {
    let mut filter = RefundFilter { limit: PAGE_REFUNDS, after: None, ..filter };
    let mut refunds = Vec::new();
    loop {
        let page = list(pool, &filter).await?;
        refunds.extend(page.iter().map(|refund| refund.refund_id));
        filter.after = page.last().map(|last| (last.requested_at, last.refund_id));
        if page.len() < PAGE_REFUNDS as usize || refunds.len() > SAGAS_MAX {
            return Ok(refunds);
        }
    }
}

fn items(refunds: &[RefundId], found: &HashMap<RefundId, Found>) -> Vec<NewItem> {
    let item = |refund: &RefundId| match found.get(refund) {
        None => NewItem {
            subject: Subject::Refund(*refund, None),
            seq: 0,
            step: None,
            verdict: verdict::Verdict::NotFound.to_string(),
            would_act: false,
        },
        Some(found) => NewItem {
            subject: Subject::Refund(*refund, Some((found.saga_id, found.outstanding))),
            seq: found.seq,
            step: found.step.clone(),
            verdict: found.verdict.to_string(),
            would_act: found.verdict.would_act(),
        },
    };
    refunds.iter().map(item).collect()
}
