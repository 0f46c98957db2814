//! Which refund news is about, and what it does to it.

use super::{
    News, NewsError, Webhooks,
    charges::Names,
    inbox::Outcome,
    signals::{Heard, tell},
};
use crate::{
    gateways::{Reference, RefundState},
    ids::RefundId,
    money::Money,
    refunds::{RefundEnd, RefundNews, Submitted, refund_signal},
};
use orchestrator::{ids::SagaId, run::Run};
use serde::Deserialize;
use sqlx::PgConnection;

/// How a refund is found that has none of the names: only where it is the only one.
const SOLE_OF_CHARGE: i32 = 3;

/// What a webhook says of a refund.
#[derive(Debug, Clone)]
pub(super) struct RefundTold {
    pub(super) reference: Reference,
    /// The charge that it refunds.
    pub(super) names: Names,
    /// Our own id of it, and of which try at the gateway, where the gateway gives them back.
    pub(super) refund_id: Option<RefundId>,
    pub(super) generation: Option<i32>,
    pub(super) amount: Money,
    pub(super) state: RefundState,
}

/// A refund as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RefundRow {
    pub(super) refund_id: RefundId,
    pub(super) saga_id: SagaId,
    pub(super) generation: i32,
    pub(super) state: String,
}

impl RefundTold {
    /// For the saga of the refund.
    fn news(&self, news: &News, refund: &RefundRow) -> RefundNews {
        let (state, reason) = RefundEnd::of(&self.state);
        RefundNews {
            event_id: news.id.clone(),
            gateway: news.gateway.clone(),
            refund_id: refund.refund_id,
            generation: self.generation.unwrap_or(refund.generation),
            reference: self.reference.clone(),
            amount: self.amount,
            state,
            reason,
        }
    }
}

impl Webhooks {
    /// None: what it is about has moved meanwhile.
    pub(super) async fn take_refund(&self, news: &News, told: &RefundTold) -> Result<Option<Outcome>, NewsError> {
        let found = find(&mut *self.engine.pool().acquire().await?, &news.gateway, told).await?;
        let Some(refund) = found else {
            let tx = self.engine.pool().begin().await?;
            return self.keep(tx, news, Outcome::Unmatched("unknown-refund")).await.map(Some);
        };
        let payload = told.news(news, &refund);
        let signal = self.prepare(news, refund.saga_id, refund_signal(refund.refund_id), &payload).await?;
        let mut tx = self.engine.pool().begin().await?;
        let failed = payload.state == RefundEnd::Failed;
        let heard = tell(&self.engine, &mut tx, signal.as_ref()).await?;
        // from here on the saga does not move: was it seen as it is?
        if find(&mut tx, &news.gateway, told).await?.as_ref() != Some(&refund) {
            return Ok(None);
        }
        let outcome = match heard {
            Heard::Told(run) if failed && has_succeeded(&run, refund.refund_id) => {
                Outcome::Unmatched("refund-failed-after-success")
            }
            Heard::Told(_) => Outcome::Told,
            Heard::Over(_) if refund.state == "succeeded" && failed => {
                Outcome::Unmatched("refund-failed-after-success")
            }
            Heard::Over(_) if refund.state == "succeeded" || payload.state != RefundEnd::Succeeded => Outcome::Known,
            Heard::Over(_) => Outcome::Unmatched("refund-succeeded-after-the-end"),
        };
        self.keep(tx, news, outcome).await.map(Some)
    }
}

/// Whether the saga of this refund counts on its success: what fails after that is a matter of the books.
fn has_succeeded(run: &Run, refund: RefundId) -> bool {
    let is_done = |output| Submitted::deserialize(output).is_ok_and(|done| done.refund_id == refund);
    run.outputs().into_values().any(is_done)
}

/// Finds the refund at `gateway`: by our id, by the gateway's name for it, or as the only one of the charge that is on
/// its way and whose name is not known yet (a gateway may give back the charge's name instead of the refund's, before
/// its answer has told us its own).
async fn find(
    connection: &mut PgConnection,
    gateway: &str,
    told: &RefundTold,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"-- by indexes alone
           select found.refund_id as "refund_id!", found.saga_id as "saga_id!", found.generation as "generation!",
                  found.state as "state!", found.rank as "rank!"
           from (
               select refund_id, payment_id, saga_id, generation, state, 1 as rank
               from booking.refunds where refund_id = $2
               union all
               select refund_id, payment_id, saga_id, generation, state, 2
               from booking.refunds where reference = $3
               union all
               select r.refund_id, r.payment_id, r.saga_id, r.generation, r.state, 3
               from booking.payments charge join booking.refunds r on r.payment_id = charge.payment_id
               where $2::uuid is null and charge.reference = any($4) and r.reference is null
                 and r.state in ('submitted', 'inDoubt')
           ) found
           join booking.payments p on p.payment_id = found.payment_id and p.gateway = $1
           order by found.rank, found.refund_id limit 2"#,
        gateway,
        told.refund_id.map(|refund| refund.0),
        told.reference.as_str(),
        &told.names.texts()
    )
    .fetch_all(connection)
    .await?;
    let Some(first) = rows.first().filter(|first| first.rank < SOLE_OF_CHARGE || rows.len() == 1) else {
        return Ok(None);
    };
    Ok(Some(RefundRow {
        refund_id: RefundId(first.refund_id),
        saga_id: SagaId(first.saga_id),
        generation: first.generation,
        state: first.state.clone(),
    }))
}
