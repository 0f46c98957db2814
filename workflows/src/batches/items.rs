//! A plan as it is kept: what it is about is frozen with it, and none is added or leaves later.

use super::{Limits, Work};
use crate::{
    ids::{BatchId, RefundId},
    money::Money,
};
use orchestrator::ids::{SagaId, Uuid};
use serde_json::Value;
use sqlx::PgPool;

/// A plan that is to be kept.
#[derive(Debug)]
pub(crate) struct NewBatch<'a> {
    pub(crate) batch_id: BatchId,
    pub(crate) work: Work,
    /// Of what, as the person has said it.
    pub(crate) filter: &'a Value,
    pub(crate) limits: Limits,
    pub(crate) reason: &'a str,
    pub(crate) by: &'a str,
    /// Of the file that it was made from.
    pub(crate) file_digest: Option<&'a [u8]>,
}

/// One of what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewItem {
    pub(crate) subject: Subject,
    /// Where its saga stood; 0 without one.
    pub(crate) seq: i64,
    pub(crate) step: Option<String>,
    /// What would be done, or why it would not.
    pub(crate) verdict: String,
    pub(crate) would_act: bool,
}

/// What is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A saga.
    Saga(SagaId),
    /// A refund, with the saga that carries it out and what is outstanding, if there is such a refund.
    Refund(RefundId, Option<(SagaId, Money)>),
}

impl Subject {
    fn saga(self) -> Option<SagaId> {
        match self {
            Self::Saga(saga) => Some(saga),
            Self::Refund(_, known) => known.map(|(saga, _)| saga),
        }
    }

    fn refund(self) -> Option<RefundId> {
        match self {
            Self::Saga(_) => None,
            Self::Refund(refund, _) => Some(refund),
        }
    }

    fn outstanding(self) -> Option<Money> {
        match self {
            Self::Saga(_) => None,
            Self::Refund(_, known) => known.map(|(_, outstanding)| outstanding),
        }
    }
}

/// Keeps a plan. False when its file has one already.
pub(crate) async fn keep(pool: &PgPool, new: &NewBatch<'_>, items: &[NewItem]) -> Result<bool, sqlx::Error> {
    let Limits { rate_per_second, concurrency, abort_at_failure_permille } = new.limits;
    let small = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let mut tx = pool.begin().await?;
    let kept = sqlx::query!(
        "insert into booking.batches (batch_id, act, filter, reason, planned_by, rate_per_second, concurrency,
             abort_at_failure_permille, file_digest)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (file_digest) where file_digest is not null do nothing",
        new.batch_id.0,
        new.work.as_str(),
        new.filter,
        new.reason,
        new.by,
        small(rate_per_second),
        small(concurrency),
        abort_at_failure_permille.map(small),
        new.file_digest
    )
    .execute(&mut *tx)
    .await?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    let state = |item: &NewItem| if item.would_act { "waiting" } else { "notAttempted" }.to_owned();
    let outstanding = |item: &NewItem| item.subject.outstanding();
    let sagas: Vec<_> = items.iter().map(|item| item.subject.saga().map(|saga| saga.0)).collect();
    let refunds: Vec<_> = items.iter().map(|item| item.subject.refund().map(|refund| refund.0)).collect();
    let amounts: Vec<_> = items.iter().map(|item| outstanding(item).map(|money| money.amount_minor)).collect();
    let currencies: Vec<_> =
        items.iter().map(|item| outstanding(item).map(|money| money.currency.code().to_owned())).collect();
    let seqs: Vec<_> = items.iter().map(|item| item.seq).collect();
    let steps: Vec<_> = items.iter().map(|item| item.step.clone()).collect();
    let verdicts: Vec<_> = items.iter().map(|item| item.verdict.clone()).collect();
    let acts: Vec<_> = items.iter().map(|item| item.would_act).collect();
    let states: Vec<_> = items.iter().map(state).collect();
    sqlx::query!(
        "insert into booking.batch_items
             (batch_id, position, saga_id, refund_id, outstanding_minor, currency, seq, step, verdict, would_act, state)
         select $1, position, saga_id, refund_id, outstanding_minor, currency, seq, step, verdict, would_act, state
         from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[],
             $9::boolean[], $10::text[]) with ordinality
             as planned (saga_id, refund_id, outstanding_minor, currency, seq, step, verdict, would_act, state, position)",
        new.batch_id.0,
        &sagas as &[Option<Uuid>],
        &refunds as &[Option<Uuid>],
        &amounts as &[Option<i64>],
        &currencies as &[Option<String>],
        &seqs,
        &steps as &[Option<String>],
        &verdicts,
        &acts,
        &states
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}
