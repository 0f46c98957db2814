//! News from gateways. Each is taken once: its id goes into the inbox in the transaction that tells the saga which it
//! concerns, or that does what is left to do when that saga is over. `docs/webhooks.md` says what becomes of which.

mod charges;
mod disputes;
mod inbox;
mod news;
mod refunds;
mod settle;

use super::{Gateways, PaymentNews, Told, payment_signal};
use crate::{
    gateways::{Reference, WebhookError, signature},
    ids::OrderId,
    money::{Money, currency_from_code},
    orders::impossible,
    refunds::{RefundEnd, refund_signal},
    spawned,
};
use charges::{ChargeNews, Concerned};
use chrono::{DateTime, Utc};
use inbox::Outcome;
use news::{About, News};
use orchestrator::{
    Engine, Prepared, StartError,
    acts::{ActError, PreparedSignal, Signalled},
    ids::SagaId,
    run::Run,
    saga::State,
    start_in_tx,
};
use refunds::RefundTold;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, Transaction};
use std::sync::Arc;

/// How often news are looked at again when their saga moves at the same moment.
const TRIES_MAX: u32 = 20;

/// What `POST /orders/{id}/capture` tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureNews {
    /// Which gateway.
    pub gateway: String,
    /// The gateway's name for the charge.
    pub reference: String,
    /// What became of it.
    pub status: CaptureStatus,
    /// Minor units of the order's currency.
    pub amount: i64,
    /// The same id again is the same news.
    pub event_id: String,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaptureStatus {
    /// The money was taken.
    Captured,
    /// It was not, and will not be.
    Declined,
}

/// Why news were not taken.
#[derive(Debug, thiserror::Error)]
pub enum NewsError {
    /// No gateway has this name.
    #[error("there is no gateway `{0}`")]
    UnknownGateway(String),
    /// There is no such order.
    #[error("there is no such order")]
    UnknownOrder,
    /// What is in it may not be believed, or not be read.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The saga could not be told.
    #[error("telling the saga")]
    Signal(#[from] ActError),
    /// What gives late money back could not be started.
    #[error("starting the saga that gives back what was taken late")]
    Start(#[source] StartError),
    /// What they are about has not stood still for long enough.
    #[error("what the news is about moves at this moment")]
    Moving,
    /// The database.
    #[error("keeping the news")]
    Database(#[from] sqlx::Error),
}

/// Takes news.
#[derive(Clone)]
pub struct Webhooks {
    engine: Engine,
    gateways: Arc<Gateways>,
}

type Tx = Transaction<'static, Postgres>;

impl Webhooks {
    /// For these gateways' sagas.
    #[must_use]
    pub fn new(engine: Engine, gateways: Arc<Gateways>) -> Self {
        Self { engine, gateways }
    }

    /// A gateway's own webhook, in its own format and signature.
    ///
    /// # Errors
    /// See [`NewsError`]; of what it tells some may have been taken then, and will not be taken again.
    pub async fn gateway_news(
        &self,
        gateway: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), NewsError> {
        let configured = self.gateways.get(gateway).ok_or_else(|| NewsError::UnknownGateway(gateway.to_owned()))?;
        for event in configured.gateway.verify_webhook(headers, body, now)? {
            self.take(News::of(gateway, event)).await?;
        }
        Ok(())
    }

    /// The payment's webhook for one order, signed with the gateway's secret.
    ///
    /// # Errors
    /// See [`NewsError`]; nothing has changed then.
    pub async fn capture_news(
        &self,
        order: OrderId,
        news: &CaptureNews,
        signed: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), NewsError> {
        let configured =
            self.gateways.get(&news.gateway).ok_or_else(|| NewsError::UnknownGateway(news.gateway.clone()))?;
        signature::verify(signed, body, &configured.webhook_secrets, now)?;
        let currency = sqlx::query_scalar!("select currency from booking.orders where order_id = $1", order.0)
            .fetch_optional(self.engine.pool())
            .await?
            .ok_or(NewsError::UnknownOrder)?;
        let currency =
            currency_from_code(&currency).map_err(|error| impossible("booking.orders", "currency", order, error))?;
        self.take(News::of_capture(order, news, Money::new(news.amount, currency), now)).await
    }

    /// Takes one piece of news. It goes on to its end when the caller goes away.
    async fn take(&self, news: News) -> Result<(), NewsError> {
        let this = self.clone();
        spawned::finish(tokio::spawn(async move { this.take_now(&news).await })).await
    }

    async fn take_now(&self, news: &News) -> Result<(), NewsError> {
        if inbox::knows(self.engine.pool(), news).await? {
            return Ok(());
        }
        for _ in 0..TRIES_MAX {
            let taken = match &news.about {
                About::Charge(charge) => self.take_charge(news, charge).await?,
                About::Refund(refund) => self.take_refund(news, refund).await?,
                About::Dispute(dispute) => {
                    let mut tx = self.engine.pool().begin().await?;
                    let outcome = disputes::record(&mut tx, news, dispute).await?;
                    Some(self.keep(tx, news, outcome).await?)
                }
                About::Nothing => Some(self.keep(self.engine.pool().begin().await?, news, Outcome::Ignored).await?),
            };
            if let Some(outcome) = taken {
                outcome.tell(news);
                return Ok(());
            }
        }
        Err(NewsError::Moving)
    }

    /// Takes the webhook's id, and makes all that was done for it durable with it; nothing of it when somebody else
    /// was faster.
    async fn keep(&self, mut tx: Tx, news: &News, outcome: Outcome) -> Result<Outcome, NewsError> {
        if !inbox::take_id(&mut tx, news, &outcome).await? {
            return Ok(Outcome::Repeated);
        }
        tx.commit().await?;
        self.engine.hint();
        Ok(outcome)
    }

    /// None: what it is about has moved meanwhile.
    async fn take_charge(&self, news: &News, told: &ChargeNews) -> Result<Option<Outcome>, NewsError> {
        let Some(found) = self.concerned(&mut *self.engine.pool().acquire().await?, news, told).await? else {
            let tx = self.engine.pool().begin().await?;
            return self.keep(tx, news, Outcome::Unmatched("unknown-charge")).await.map(Some);
        };
        let payment = PaymentNews {
            event_id: news.id.clone(),
            gateway: news.gateway.clone(),
            key: found.charge.key.clone(),
            reference: told.names.theirs.clone(),
            told: told.told.clone(),
        };
        let signal = self.prepare(news, found.saga_id, payment_signal(&found.charge.key), &payment).await?;
        let is_over = signal.as_ref().is_none_or(PreparedSignal::is_for_a_finished_saga);
        let settling = if is_over && let Some(capture) = late_capture(&found, told) {
            settle::prepare(&self.engine, news, &found, capture).await?
        } else {
            None
        };

        let mut tx = self.engine.pool().begin().await?;
        if says_nothing_new(&found, told) {
            return self.keep(tx, news, Outcome::Known).await.map(Some);
        }
        let heard = tell(&self.engine, &mut tx, signal.as_ref()).await?;
        // from here on the saga does not move: was it the right one?
        if self.concerned(&mut tx, news, told).await?.as_ref() != Some(&found) {
            return Ok(None);
        }
        let outcome = match heard {
            Heard::Told(_) => Outcome::Told,
            Heard::Over(_) if !is_over => return Ok(None),
            Heard::Over(state) => too_late(&mut tx, &found, told, state, settling.as_ref()).await?,
        };
        self.keep(tx, news, outcome).await.map(Some)
    }

    async fn concerned(
        &self,
        connection: &mut sqlx::PgConnection,
        news: &News,
        told: &ChargeNews,
    ) -> Result<Option<Concerned>, NewsError> {
        charges::find(connection, &self.gateways, &news.gateway, &told.names, news.order).await
    }

    /// None: what it is about has moved meanwhile.
    async fn take_refund(&self, news: &News, told: &RefundTold) -> Result<Option<Outcome>, NewsError> {
        let found = refunds::find(&mut *self.engine.pool().acquire().await?, &news.gateway, told).await?;
        let Some(refund) = found else {
            let tx = self.engine.pool().begin().await?;
            return self.keep(tx, news, Outcome::Unmatched("unknown-refund")).await.map(Some);
        };
        let payload = told.news(news, &refund);
        let signal = self.prepare(news, refund.saga_id, refund_signal(refund.refund_id), &payload).await?;
        let mut tx = self.engine.pool().begin().await?;
        let failed = payload.state == RefundEnd::Failed;
        let outcome = match tell(&self.engine, &mut tx, signal.as_ref()).await? {
            Heard::Told(run) if failed && refunds::has_succeeded(&run, refund.refund_id) => {
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

    /// The signal to a saga; none when its history is gone.
    async fn prepare(
        &self,
        news: &News,
        saga: SagaId,
        name: String,
        payload: &impl Serialize,
    ) -> Result<Option<PreparedSignal>, NewsError> {
        let payload = serde_json::to_value(payload).map_err(|error| WebhookError::Unreadable(error.to_string()))?;
        match self.engine.prepare_signal(saga, name, payload, format!("gateway {}", news.gateway)).await {
            Ok(signal) => Ok(Some(signal)),
            Err(ActError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a saga could be told.
enum Heard {
    /// It has it. As it was before.
    Told(Box<Run>),
    /// It is over, with this end, where that is still known.
    Over(Option<State>),
}

async fn tell(engine: &Engine, tx: &mut Tx, signal: Option<&PreparedSignal>) -> Result<Heard, NewsError> {
    let Some(signal) = signal else { return Ok(Heard::Over(None)) };
    Ok(match engine.signal_in_tx(tx, signal).await? {
        Signalled::Kept { run, .. } => Heard::Told(Box::new(run)),
        Signalled::Finished(run) => Heard::Over(Some(run.state)),
    })
}

/// What was captured is stronger than whatever else is told late; another amount is news all the same.
fn says_nothing_new(found: &Concerned, told: &ChargeNews) -> bool {
    let same = match told.told {
        Told::Captured { amount } => amount == found.charge.amount,
        _ => true,
    };
    found.charge.is_captured() && same
}

/// The capture that nobody has reckoned with: by which name, and of how much.
fn late_capture<'a>(found: &Concerned, told: &'a ChargeNews) -> Option<(&'a Reference, Money)> {
    match (&told.told, &told.names.theirs) {
        (Told::Captured { amount }, Some(reference)) if !found.charge.is_captured() => Some((reference, *amount)),
        _ => None,
    }
}

/// The saga that it concerns is over: money that was taken all the same is given back by a saga of its own, but for
/// one that a person has killed: there it is written down for a person.
async fn too_late(
    tx: &mut Tx,
    found: &Concerned,
    told: &ChargeNews,
    state: Option<State>,
    settling: Option<&Prepared>,
) -> Result<Outcome, NewsError> {
    let mismatch = matches!(told.told, Told::Captured { amount } if amount != found.charge.amount);
    let Some((reference, amount)) = late_capture(found, told) else {
        return Ok(if mismatch { Outcome::Unmatched(super::AMOUNT_MISMATCH) } else { Outcome::Known });
    };
    if state == Some(State::Killed) {
        charges::record_capture(tx, &found.charge, reference, amount).await?;
        return Ok(Outcome::Recorded);
    }
    let Some(settling) = settling else { return Ok(Outcome::Unmatched("late-capture")) };
    start_in_tx(tx, settling).await?;
    Ok(Outcome::Settling)
}
