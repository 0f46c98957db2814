//! What a batch would do: which sagas, and what would become of each.

use super::{BatchAct, Limits, NewBatch, NewItem, SAGAS_MAX, Subject, Work, keep};
use crate::ids::BatchId;
use orchestrator::{
    Engine,
    acts::Foreseen,
    ids::SagaId,
    view::{Cursor, Filter},
};
use serde_json::Value;
use sqlx::PgPool;
use std::{collections::BTreeMap, time::Duration};

/// How many sagas are listed at once.
const PAGE_SAGAS: u16 = 500;

/// Which sagas.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// These.
    Sagas(Vec<SagaId>),
    /// All that a list with this filter would show.
    Matching(Filter),
    /// Those of another batch that have failed again.
    FailedAgainIn(BatchId),
}

/// What a person thinks of doing.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanBatch {
    /// What.
    pub act: BatchAct,
    /// To which sagas.
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

/// A plan: nothing is done yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Under which name it is begun.
    pub batch_id: BatchId,
    /// What would be done, the most frequent first.
    pub groups: Vec<VerdictGroup>,
}

/// Sagas of which the same is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictGroup {
    /// What would be done to them, or why it would not.
    pub verdict: String,
    /// Whether it would be done.
    pub would_act: bool,
    /// Which.
    pub sagas: Vec<SagaId>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Too many.
    #[error("more than {SAGAS_MAX} sagas match: ask for fewer")]
    TooMany,
    /// None.
    #[error("no saga matches")]
    Nothing,
    /// The database's.
    #[error("planning the batch")]
    Database(#[from] sqlx::Error),
}

/// Finds the sagas, says what would become of each, and keeps that.
///
/// # Errors
/// See [`PlanError`].
pub async fn plan(engine: &Engine, wanted: &PlanBatch) -> Result<Planned, PlanError> {
    let sagas = select(engine, &wanted.selection).await?;
    if sagas.is_empty() {
        return Err(PlanError::Nothing);
    }
    let foreseen = engine.foresee(&sagas, &wanted.act.of_one()).await?;
    let batch_id = BatchId::fresh();
    let PlanBatch { act, filter, limits, reason, by, .. } = wanted;
    let new = NewBatch { batch_id, work: Work::Acts(*act), filter, limits: *limits, reason, by, file_digest: None };
    keep(engine.pool(), &new, &foreseen.iter().map(item).collect::<Vec<_>>()).await?;
    Ok(Planned { batch_id, groups: group(&foreseen) })
}

fn item(foreseen: &Foreseen) -> NewItem {
    NewItem {
        subject: Subject::Saga(foreseen.saga_id),
        seq: foreseen.seq,
        step: foreseen.step.clone(),
        verdict: verdict(foreseen),
        would_act: foreseen.outcome.is_ok(),
    }
}

async fn select(engine: &Engine, selection: &Selection) -> Result<Vec<SagaId>, PlanError> {
    let sagas = match selection {
        Selection::Sagas(sagas) => {
            let mut seen = std::collections::HashSet::new();
            sagas.iter().copied().filter(|saga| seen.insert(*saga)).collect()
        }
        Selection::Matching(filter) => matching(engine, filter).await?,
        Selection::FailedAgainIn(batch) => sqlx::query_scalar!(
            r#"select saga_id as "saga_id!" from booking.batch_items
               where batch_id = $1 and state = 'failedAgain' and saga_id is not null order by position"#,
            batch.0
        )
        .fetch_all(engine.pool())
        .await?
        .into_iter()
        .map(SagaId)
        .collect(),
    };
    if sagas.len() > SAGAS_MAX { Err(PlanError::TooMany) } else { Ok(sagas) }
}

async fn matching(engine: &Engine, filter: &Filter) -> Result<Vec<SagaId>, PlanError> {
    let mut sagas = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = engine.sagas(filter, after, PAGE_SAGAS).await?;
        sagas.extend(page.items.into_iter().map(|listed| listed.saga_id));
        after = page.next;
        if after.is_none() || sagas.len() > SAGAS_MAX {
            return Ok(sagas);
        }
    }
}

fn verdict(foreseen: &Foreseen) -> String {
    match &foreseen.outcome {
        Ok(effects) => effects.summary.clone(),
        Err(why) => format!("not done: {why}"),
    }
}

fn group(foreseen: &[Foreseen]) -> Vec<VerdictGroup> {
    let mut groups: BTreeMap<(String, bool), Vec<SagaId>> = BTreeMap::new();
    for saga in foreseen {
        groups.entry((verdict(saga), saga.outcome.is_ok())).or_default().push(saga.saga_id);
    }
    let mut groups: Vec<_> =
        groups.into_iter().map(|((verdict, would_act), sagas)| VerdictGroup { verdict, would_act, sagas }).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.sagas.len()));
    groups
}

/// Forgets plans that are as old as `kept` and were never begun.
///
/// # Errors
/// The database's.
pub async fn expire_plans(pool: &PgPool, kept: Duration) -> Result<u64, sqlx::Error> {
    let expired = sqlx::query!(
        "delete from booking.batches where state = 'planned' and planned_at < now() - make_interval(secs => $1)",
        kept.as_secs_f64()
    )
    .execute(pool)
    .await?;
    Ok(expired.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrator::{
        acts::{Effects, Undo},
        ids::Uuid,
    };

    #[test]
    fn sagas_are_grouped_by_what_is_said_of_them() {
        let saga = |id: u128, outcome: Result<&str, &str>| Foreseen {
            saga_id: SagaId(Uuid::from_u128(id)),
            seq: 1,
            step: None,
            outcome: outcome
                .map(|does| Effects { summary: does.to_owned(), steps: Vec::new(), undo: Undo::Impossible })
                .map_err(str::to_owned),
        };
        let groups = group(&[saga(1, Err("over")), saga(2, Ok("tries")), saga(3, Ok("tries"))]);
        let told: Vec<_> =
            groups.iter().map(|group| (group.verdict.as_str(), group.would_act, group.sagas.len())).collect();
        assert_eq!(told, [("tries", true, 2), ("not done: over", false, 1)]);
    }
}
