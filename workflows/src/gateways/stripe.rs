//! Stripe's API: payment intents, refunds, signed webhooks. <https://docs.stripe.com/api>
//!
//! A charge is two calls. The first creates the payment intent, unconfirmed; nothing moves, and its id is known. The
//! second confirms it. So a probe is a read by id, and a cancelled intent is a tombstone that no late confirm can
//! undo. Only parameters that are needed are sent.

mod amounts;
mod calls;
mod declines;
mod objects;
mod reading;
mod refund_failures;
mod webhook_events;

use super::answers::{parse, unreadable};
use super::outcomes::{
    ChargeOutcome, PrepareOutcome, ProbeOutcome, RefundOutcome, RefundProbeOutcome, Refusal, RefusalClass, VoidOutcome,
};
use super::requests::{AmountError, ChargeRequest, IdempotencyKey, Reference, RefundRequest};
use super::webhooks::{WebhookError, WebhookEvent};
use super::{BuildError, Capabilities, Gateway, GatewaySettings, signature};
use crate::{ids::OrderId, money::Money};
use async_trait::async_trait;
use calls::{Calls, Failure};
use chrono::{DateTime, Utc};
use objects::{PaymentIntent, RefundList, RefundObject};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use std::sync::Arc;

/// The protocol's name in the configuration.
pub const PROTOCOL: &str = "stripe";

/// A gateway that speaks Stripe's API.
struct Stripe {
    name: String,
    calls: Calls,
    return_url: Option<String>,
    webhook_secrets: Vec<SecretString>,
}

/// Makes a gateway that speaks Stripe's API.
///
/// # Errors
/// See [`BuildError`].
pub fn build(settings: &GatewaySettings) -> Result<Arc<dyn Gateway>, BuildError> {
    Ok(Arc::new(Stripe {
        name: settings.name.clone(),
        calls: Calls::new(settings.client()?, settings.checked_base_url()?, settings.api_key.clone()),
        return_url: settings.set_return_url(),
        webhook_secrets: settings.webhook_secrets().cloned().collect(),
    }))
}

#[async_trait]
impl Gateway for Stripe {
    fn name(&self) -> &str {
        &self.name
    }

    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { prepares: true, probes_charges: true, probes_refunds: true, voids: true, answers_refunds: true }
    }

    fn check_amount(&self, amount: Money) -> Result<(), AmountError> {
        amounts::charge_to_stripe(amount).map(|_| ())
    }

    fn own_reference(&self, _order: OrderId, _key: &IdempotencyKey) -> Option<Reference> {
        None
    }

    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        let amount = match amounts::charge_to_stripe(charge.amount) {
            Ok(amount) => amount.to_string(),
            Err(error) => return PrepareOutcome::Refused(error.into()),
        };
        let currency = charge.amount.currency.code().to_ascii_lowercase();
        let (order_id, saga_id) = (charge.order_id.to_string(), charge.saga_id.to_string());
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method_types[]", "card"),
            ("payment_method", &charge.payment_method),
            ("metadata[order_id]", &order_id),
            ("metadata[saga_id]", &saga_id),
        ];
        let key = format!("{key}:create");
        match self.calls.post("payment_intents", Some(&key), &form).await {
            Ok(body) => match parse::<PaymentIntent>(&body).and_then(|intent| intent.reference()) {
                Ok(reference) => PrepareOutcome::Prepared(reference),
                Err(doubt) => PrepareOutcome::Unknown(doubt),
            },
            Err(failure) => reading::failed_prepare(failure),
        }
    }

    async fn charge(
        &self,
        key: &IdempotencyKey,
        charge: &ChargeRequest,
        reference: Option<&Reference>,
    ) -> ChargeOutcome {
        if let Err(error) = self.check_amount(charge.amount) {
            return ChargeOutcome::Refused(error.into());
        }
        let Some(reference) = reference else {
            return ChargeOutcome::Refused(Refusal {
                class: RefusalClass::Configuration,
                code: "not_prepared".into(),
                message: "a payment intent is confirmed after it was created".into(),
            });
        };
        let form: Vec<_> = self.return_url.iter().map(|url| ("return_url", url.as_str())).collect();
        match self.calls.post(&format!("payment_intents/{reference}/confirm"), Some(key.as_str()), &form).await {
            Ok(body) => reading::confirmed(reading::intent(&body, reference)),
            Err(Failure::Said { status, error }) => {
                let said = match reading::refused_confirm(status, &error, reference) {
                    Some(outcome) => return outcome,
                    None => self.intent(reference).await,
                };
                reading::not_confirmed(said, status, &error)
            }
            Err(failure) => reading::failed_charge(failure),
        }
    }

    async fn probe(&self, _charge: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome {
        match reference {
            Some(reference) => self.intent(reference).await,
            None => ProbeOutcome::CannotAsk,
        }
    }

    async fn void(&self, _key: &IdempotencyKey, _charge: &ChargeRequest, reference: Option<&Reference>) -> VoidOutcome {
        let Some(reference) = reference else {
            return VoidOutcome::CannotVoid;
        };
        // Without an idempotency key: Stripe would repeat a stored 500 for ever, and ending twice is ending once.
        match self.calls.post(&format!("payment_intents/{reference}/cancel"), None, &[]).await {
            Ok(body) => reading::cancelled(reading::intent(&body, reference)),
            Err(Failure::Said { status: StatusCode::NOT_FOUND, .. }) => VoidOutcome::NotFound,
            Err(Failure::Said { status, error }) => {
                let said = match &error.payment_intent {
                    Some(intent) => reading::intent_of(intent, reference),
                    None => self.intent(reference).await,
                };
                reading::not_cancelled(said, status, &error)
            }
            Err(Failure::Refused(refusal)) => VoidOutcome::Refused(refusal),
            Err(Failure::NotSent(not_executed)) => VoidOutcome::Unknown(not_executed.into()),
            Err(Failure::Doubtful(doubt)) => VoidOutcome::Unknown(doubt),
        }
    }

    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        let amount = match amounts::to_stripe(refund.amount) {
            Ok(amount) => amount.to_string(),
            Err(error) => return RefundOutcome::Refused(error.into()),
        };
        let (order_id, refund_id) = (refund.order_id.to_string(), refund.refund_id.to_string());
        let generation = refund.generation.to_string();
        let mut form = vec![
            ("payment_intent", refund.payment.as_str()),
            ("amount", &amount),
            ("metadata[order_id]", &order_id),
            ("metadata[refund_id]", &refund_id),
        ];
        if refund.generation > 1 {
            form.push(("metadata[generation]", &generation));
        }
        match self.calls.post("refunds", Some(key.as_str()), &form).await {
            Ok(body) => match parse::<RefundObject>(&body) {
                Ok(object) => reading::refunded(reading::refund(&object)),
                Err(doubt) => RefundOutcome::Unknown(doubt),
            },
            Err(failure) => reading::failed_refund(failure),
        }
    }

    async fn probe_refund(&self, refund: &RefundRequest, reference: Option<&Reference>) -> RefundProbeOutcome {
        let found = match reference {
            Some(reference) => self.calls.get(&format!("refunds/{reference}"), &[]).await,
            None => {
                let query = [("payment_intent", refund.payment.as_str()), ("limit", "100")];
                self.calls.get("refunds", &query).await
            }
        };
        let body = match found {
            Ok(body) => body,
            Err(Failure::Said { status, error }) if error.is_missing(status) => return RefundProbeOutcome::NotFound,
            Err(failure) => return RefundProbeOutcome::Unknown(reading::not_asked(failure)),
        };
        let outcome = match reference {
            Some(_) => parse::<RefundObject>(&body).map(|object| reading::refund(&object)),
            None => parse::<RefundList>(&body).map(|list| reading::refund_in(&list, refund)),
        };
        outcome.unwrap_or_else(RefundProbeOutcome::Unknown)
    }

    fn verify_webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookEvent>, WebhookError> {
        let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
        signature::verify(header.ok_or(WebhookError::NotSigned)?, body, &self.webhook_secrets, now)?;
        webhook_events::read(body).map(|event| vec![event])
    }
}

impl Stripe {
    /// Reads a payment intent.
    async fn intent(&self, reference: &Reference) -> ProbeOutcome {
        match self.calls.get(&format!("payment_intents/{reference}"), &[]).await {
            Ok(body) => reading::intent(&body, reference),
            Err(Failure::Said { status: StatusCode::NOT_FOUND, .. }) => ProbeOutcome::NotFound,
            Err(failure) => ProbeOutcome::Unknown(reading::not_asked(failure)),
        }
    }
}

#[cfg(test)]
mod tests;
