//! Which refund news is about, and what it does to it.

use super::{
    News, NewsError, Tx, Webhooks,
    charges::Names,
    inbox::Outcome,
    signals::{Heard, tell},
};
use crate::{
    gateways::{Reference, RefundState},
    ids::{OrderId, RefundId},
    money::{Money, currency_from_code},
    orders::impossible,
    refunds::{RefundEnd, RefundNews, books, order, refund_signal},
};
use orchestrator::ids::SagaId;
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
    refund_id: RefundId,
    order_id: OrderId,
    saga_id: SagaId,
    generation: i32,
    state: String,
    /// What the generation that is under way asks for.
    asked: Money,
    /// It has brought back a part, so that it is not under way any more.
    is_over: bool,
}

impl RefundTold {
    /// For the saga of the refund.
    fn news(&self, news: &News, refund: &RefundRow) -> RefundNews {
        let (reason, is_final) = match &self.state {
            RefundState::Failed { reason, is_final } => (Some(reason.clone()), *is_final),
            RefundState::Pending | RefundState::Succeeded => (None, false),
        };
        RefundNews {
            event_id: news.id.clone(),
            gateway: news.gateway.clone(),
            refund_id: refund.refund_id,
            generation: self.generation.unwrap_or(refund.generation),
            reference: self.reference.clone(),
            amount: self.amount,
            state: RefundEnd::of(&self.state),
            reason,
            is_final,
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
        let heard = tell(&self.engine, &mut tx, signal.as_ref()).await?;
        // from here on the saga does not move: was it seen as it is?
        if find(&mut tx, &news.gateway, told).await?.as_ref() != Some(&refund) {
            return Ok(None);
        }
        let outcome = match (book(&mut tx, &refund, &payload, &heard).await?, heard) {
            (true, _) => Outcome::Recorded,
            (false, Heard::Told) => Outcome::Told,
            (false, Heard::Over(_)) => over(&refund, payload.state),
        };
        self.keep(tx, news, outcome).await.map(Some)
    }
}

/// Writes down what no saga would: what has come back to us although it had gone back, and how a refund has ended whose
/// saga a person has killed. False when there is nothing of that.
async fn book(tx: &mut Tx, refund: &RefundRow, news: &RefundNews, heard: &Heard) -> Result<bool, sqlx::Error> {
    let (order_id, refund_id) = (refund.order_id, refund.refund_id);
    let is_open = refund.generation == news.generation
        && !refund.is_over
        && matches!(&*refund.state, "submitted" | "pending" | "inDoubt");
    match (news.state, heard) {
        (RefundEnd::Failed, _)
            if order::reversed_in_tx(tx, (order_id, refund_id), news.generation, news.amount).await? =>
        {
            Ok(true)
        }
        (RefundEnd::Failed, Heard::Over(_)) if is_open => books::failed_in_tx(tx, refund_id).await,
        (RefundEnd::Succeeded, Heard::Over(_)) if is_open && refund.asked == news.amount => {
            order::lock_in_tx(tx, order_id).await?;
            books::returned_in_tx(tx, refund_id, &news.reference).await?;
            order::refunded_in_tx(tx, order_id, refund_id).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Of a refund whose saga is over, and whose books it does not change.
fn over(refund: &RefundRow, told: RefundEnd) -> Outcome {
    match (told, refund.state.as_str()) {
        (RefundEnd::Succeeded, "succeeded") | (RefundEnd::Pending, _) | (RefundEnd::Failed, "failed") => Outcome::Known,
        (RefundEnd::Succeeded, _) => Outcome::Unmatched("refund-succeeded-after-the-end"),
        (RefundEnd::Failed, "succeeded") => Outcome::Unmatched("refund-failed-after-success"),
        (RefundEnd::Failed, _) => Outcome::Known,
    }
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
                  found.state as "state!", found.rank as "rank!", p.order_id,
                  r.currency, coalesce(r.asked_minor, r.outstanding_minor) as "asked_minor!",
                  exists (
                      select from booking.refund_parts t where (t.refund_id, t.generation) = (r.refund_id, r.generation)
                  ) as "is_over!"
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
           join booking.refunds r on r.refund_id = found.refund_id
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
    let currency = currency_from_code(&first.currency)
        .map_err(|error| impossible("booking.refunds", "currency", RefundId(first.refund_id), error))?;
    Ok(Some(RefundRow {
        refund_id: RefundId(first.refund_id),
        order_id: OrderId(first.order_id),
        saga_id: SagaId(first.saga_id),
        generation: first.generation,
        state: first.state.clone(),
        asked: Money::new(first.asked_minor, currency),
        is_over: first.is_over,
    }))
}
