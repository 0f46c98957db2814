//! News from gateways. They are hints: whoever waits for a charge or a refund is woken and asks the gateway, whose
//! answer holds. The same news twice wakes nobody twice.

use super::{Gateways, payment_signal};
use crate::{
    gateways::{Reference, WebhookError, WebhookEvent, WebhookKind, signature},
    ids::{OrderId, RefundId},
    refunds::refund_signal,
};
use chrono::{DateTime, Utc};
use orchestrator::{Engine, acts::ActError, ids::SagaId};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

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
    Signal(#[source] ActError),
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

/// One piece of news with what it is about.
struct News<'a> {
    gateway: &'a str,
    id: &'a str,
    kind: &'static str,
    order: Option<OrderId>,
    payment: Option<&'a str>,
    refund: Option<RefundId>,
}

impl Webhooks {
    /// For these gateways' sagas.
    #[must_use]
    pub fn new(engine: Engine, gateways: Arc<Gateways>) -> Self {
        Self { engine, gateways }
    }

    /// A gateway's own webhook, in its own format and signature.
    ///
    /// # Errors
    /// See [`NewsError`]; nothing has changed then.
    pub async fn gateway_news(
        &self,
        gateway: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), NewsError> {
        let configured = self.gateways.get(gateway).ok_or_else(|| NewsError::UnknownGateway(gateway.to_owned()))?;
        for event in configured.gateway.verify_webhook(headers, body, now)? {
            self.take(News::of(gateway, &event)).await?;
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
        if crate::orders::saga_of(self.engine.pool(), order).await?.is_none() {
            return Err(NewsError::UnknownOrder);
        }
        self.take(News {
            gateway: &news.gateway,
            id: &news.event_id,
            kind: "capture",
            order: Some(order),
            payment: Some(&news.reference),
            refund: None,
        })
        .await
    }

    /// Wakes whom it concerns, then writes down that it was taken: a crash in between has it taken again, which
    /// wakes nobody twice.
    async fn take(&self, news: News<'_>) -> Result<(), NewsError> {
        let known = sqlx::query_scalar!(
            r#"select exists (select from booking.webhook_inbox where gateway = $1 and webhook_id = $2) as "known!""#,
            news.gateway,
            news.id
        )
        .fetch_one(self.engine.pool())
        .await?;
        if known {
            return Ok(());
        }
        if let Some(refund) = news.refund {
            let saga = self.saga_of_refund(refund).await?;
            self.wake(saga, &refund_signal(refund), &news).await?;
        } else if let Some(Ok(reference)) = news.payment.map(Reference::new) {
            let saga = self.saga_of_payment(&news, &reference).await?;
            self.wake(saga, &payment_signal(&reference), &news).await?;
        }
        sqlx::query!(
            "insert into booking.webhook_inbox (gateway, webhook_id, kind, reference, order_id)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
            news.gateway,
            news.id,
            news.kind,
            news.payment,
            news.order.map(|order| order.0)
        )
        .execute(self.engine.pool())
        .await?;
        Ok(())
    }

    async fn wake(&self, saga: Option<SagaId>, name: &str, news: &News<'_>) -> Result<(), NewsError> {
        let Some(saga) = saga else {
            tracing::warn!(
                gateway.name = news.gateway,
                webhook.kind = news.kind,
                "A webhook of {} matches nothing",
                news.gateway
            );
            return Ok(());
        };
        let by = format!("gateway {}", news.gateway);
        match self.engine.signal(saga, name, json!({ "eventId": news.id, "kind": news.kind }), &by).await {
            Ok(_) | Err(ActError::NotFound | ActError::NotAllowed(_)) => Ok(()),
            Err(error) => Err(NewsError::Signal(error)),
        }
    }

    async fn saga_of_payment(&self, news: &News<'_>, reference: &Reference) -> Result<Option<SagaId>, sqlx::Error> {
        let saga = sqlx::query_scalar!(
            r#"select saga_id as "saga_id!" from (
                   select saga_id, 1 as rank from booking.payments where gateway = $1 and reference = $2
                   union all
                   select saga_id, 2 from booking.orders where order_id = $3
               ) found order by rank limit 1"#,
            news.gateway,
            reference.as_str(),
            news.order.map(|order| order.0)
        )
        .fetch_optional(self.engine.pool())
        .await?;
        Ok(saga.map(SagaId))
    }

    async fn saga_of_refund(&self, refund: RefundId) -> Result<Option<SagaId>, sqlx::Error> {
        let saga = sqlx::query_scalar!("select saga_id from booking.refunds where refund_id = $1", refund.0)
            .fetch_optional(self.engine.pool())
            .await?;
        Ok(saga.map(SagaId))
    }
}

impl<'a> News<'a> {
    fn of(gateway: &'a str, event: &'a WebhookEvent) -> Self {
        let (kind, payment, refund) = match &event.kind {
            WebhookKind::PaymentCaptured(captured) => ("paymentCaptured", Some(&captured.reference), None),
            WebhookKind::PaymentDeclined(decline) => ("paymentDeclined", decline.reference.as_ref(), None),
            WebhookKind::PaymentVoided { reference } => ("paymentVoided", Some(reference), None),
            WebhookKind::PaymentVoidFailed { reference } => ("paymentVoidFailed", reference.as_ref(), None),
            WebhookKind::PaymentProcessing { reference } => ("paymentProcessing", Some(reference), None),
            WebhookKind::PaymentActionRequired { reference, .. } => ("paymentActionRequired", Some(reference), None),
            WebhookKind::Refund { payment, refund_id, .. } => ("refund", payment.as_ref(), *refund_id),
            WebhookKind::Dispute { payment, .. } => ("dispute", payment.as_ref(), None),
            WebhookKind::Other(_) => ("other", None, None),
        };
        Self { gateway, id: &event.id, kind, order: event.order_id, payment: payment.map(Reference::as_str), refund }
    }
}
