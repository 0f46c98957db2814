//! News from gateways. Each is taken once: its id goes into the inbox in the transaction that tells the saga which it
//! concerns, or that does what is left to do when that saga is over. `docs/webhooks.md` says what becomes of which.

mod again;
mod charge_news;
mod charges;
mod disputes;
mod inbox;
mod news;
mod refunds;
mod second;
mod settle;
mod signals;

use super::Gateways;
use crate::{
    gateways::{WebhookError, WebhookEvent, signature},
    ids::OrderId,
    money::{Money, currency_from_code},
    orders::impossible,
    spawned,
};
use chrono::{DateTime, Utc};
use inbox::Outcome;
pub use inbox::expire_news;
use news::{About, News};
use orchestrator::{Engine, StartError, acts::ActError};
use reqwest::header::HeaderMap;
use serde::Deserialize;
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
    /// See [`NewsError`], the first of several. What could be taken has been then, and is not taken again.
    pub async fn gateway_news(
        &self,
        gateway: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), NewsError> {
        let configured = self.gateways.get(gateway).ok_or_else(|| NewsError::UnknownGateway(gateway.to_owned()))?;
        let mut taken = Ok(());
        for event in configured.gateway.verify_webhook(headers, body, now)? {
            // one that cannot be taken keeps out none of those behind it
            taken = taken.and(self.take(News::of(gateway, event)).await);
        }
        taken
    }

    /// What a gateway's settlement says that nobody has heard of, as if the gateway had told it.
    ///
    /// # Errors
    /// See [`NewsError`]; nothing has changed then.
    pub(crate) async fn settlement_news(&self, gateway: &str, event: WebhookEvent) -> Result<(), NewsError> {
        self.take(News::of(gateway, event)).await
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
        spawned::run(async move { this.take_now(&news).await }).await
    }

    async fn take_now(&self, news: &News) -> Result<(), NewsError> {
        if news.before.is_none() && inbox::knows(self.engine.pool(), news).await? {
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
                About::Unreadable(_) => {
                    let tx = self.engine.pool().begin().await?;
                    Some(self.keep(tx, news, Outcome::Unmatched("unreadable")).await?)
                }
            };
            if let Some(outcome) = taken {
                outcome.tell(news);
                return Ok(());
            }
        }
        Err(NewsError::Moving)
    }

    /// Writes down what became of the news, and makes all that was done for it durable with it; nothing of it when
    /// somebody else was faster.
    async fn keep(&self, mut tx: Tx, news: &News, outcome: Outcome) -> Result<Outcome, NewsError> {
        if !inbox::write(&mut tx, news, &outcome).await? {
            return Ok(Outcome::Repeated);
        }
        tx.commit().await?;
        self.engine.hint();
        Ok(outcome)
    }
}
