//! Adyen's Checkout API, version 71: payments, cancels, refunds, signed notifications.
//! <https://docs.adyen.com/api-explorer/Checkout/71/overview>
//!
//! A charge is one call, captured at once: automatic capture is asked for in the call (`captureDelayHours` 0), so
//! that `Authorised` means that the money is on its way to us and no capture request follows.
//!
//! Nothing can be read back. What became of a charge is learned by sending it again with its key, which answers as
//! the first time, or by notification. Cancels and refunds are only ever *received*; their end comes by
//! notification. So a void asks Adyen to cancel, by its reference or by ours, and never says that it is done; and as
//! a cancel does nothing about a charge that arrives after it, there is no tombstone. A reversal, which would refund
//! what is captured, is not used: money that goes back is a refund of ours, with its own record.
//!
//! Our reference of a charge ([`references::charge`]) is signed in every notification, unlike the metadata.

mod amounts;
mod calls;
mod declines;
mod notification_events;
mod notifications;
mod objects;
mod reading;
mod references;
mod refund_failures;

use super::outcomes::{ChargeOutcome, PrepareOutcome, ProbeOutcome, RefundOutcome, RefundProbeOutcome, VoidOutcome};
use super::requests::{AmountError, ChargeRequest, IdempotencyKey, Reference, RefundRequest};
use super::webhooks::{WebhookError, WebhookEvent};
use super::{BuildError, Capabilities, Gateway, GatewaySettings};
use crate::{ids::OrderId, money::Money};
use async_trait::async_trait;
use calls::Calls;
use chrono::{DateTime, Utc};
use notifications::NotificationKey;
use objects::{Amount, CancelByReference, Metadata, Modification, PaymentMethod, PaymentRequest};
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// The protocol's name in the configuration.
pub const PROTOCOL: &str = "adyen";

/// A gateway that speaks Adyen's Checkout API.
struct Adyen {
    name: String,
    calls: Calls,
    merchant_account: String,
    return_url: Option<String>,
    notification_keys: Vec<NotificationKey>,
}

/// Makes a gateway that speaks Adyen's Checkout API.
///
/// # Errors
/// See [`BuildError`].
pub fn build(settings: &GatewaySettings) -> Result<Arc<dyn Gateway>, BuildError> {
    let merchant_account = settings.merchant_account.clone().filter(|account| !account.is_empty());
    let merchant_account =
        merchant_account.ok_or_else(|| settings.wrong("merchant_account", "must be set: the protocol is adyen"))?;
    let key_of = |hex: &str| {
        let problem = "must be the HMAC key in hexadecimal digits, as Adyen shows it";
        NotificationKey::from_hex(hex).ok_or_else(|| settings.wrong("webhook_secret", problem))
    };
    let notification_keys = settings.webhook_secrets().map(|secret| key_of(secret.expose_secret()));
    let calls = Calls::new(settings.client()?, settings.checked_base_url()?, &settings.api_key)
        .ok_or_else(|| settings.wrong("api_key", "has characters that a header cannot carry"))?;
    Ok(Arc::new(Adyen {
        name: settings.name.clone(),
        calls,
        merchant_account,
        return_url: settings.set_return_url(),
        notification_keys: notification_keys.collect::<Result<_, _>>()?,
    }))
}

#[async_trait]
impl Gateway for Adyen {
    fn name(&self) -> &str {
        &self.name
    }

    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            prepares: false,
            probes_charges: false,
            probes_refunds: false,
            voids: false,
            answers_refunds: false,
        }
    }

    fn check_amount(&self, amount: Money) -> Result<(), AmountError> {
        amounts::to_adyen(amount).map(|_| ())
    }

    fn own_reference(&self, order: OrderId, key: &IdempotencyKey) -> Option<Reference> {
        Some(references::charge(order, key))
    }

    async fn prepare(&self, _key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        match self.check_amount(charge.amount) {
            Ok(()) => PrepareOutcome::NothingToPrepare,
            Err(error) => PrepareOutcome::Refused(error.into()),
        }
    }

    async fn charge(&self, key: &IdempotencyKey, charge: &ChargeRequest, _: Option<&Reference>) -> ChargeOutcome {
        let amount = match Amount::of(charge.amount) {
            Ok(amount) => amount,
            Err(error) => return ChargeOutcome::Refused(error.into()),
        };
        let ours = references::charge(charge.order_id, key);
        let (shopper, payment_method) = PaymentMethod::of_token(&charge.payment_method);
        let request = PaymentRequest {
            merchant_account: &self.merchant_account,
            amount,
            reference: ours.as_str(),
            payment_method,
            shopper_reference: shopper,
            shopper_interaction: "ContAuth",
            recurring_processing_model: "CardOnFile",
            capture_delay_hours: 0,
            return_url: self.return_url.as_deref(),
            metadata: Metadata { order_id: charge.order_id.to_string(), saga_id: charge.saga_id.to_string() },
        };
        match self.calls.post("payments", Some(key.as_str()), &request).await {
            Ok(body) => reading::paid(&body, &ours, charge.amount),
            Err(failure) => reading::failed_charge(failure),
        }
    }

    async fn probe(&self, _charge: &ChargeRequest, _reference: Option<&Reference>) -> ProbeOutcome {
        ProbeOutcome::CannotAsk
    }

    async fn void(&self, key: &IdempotencyKey, charge: &ChargeRequest, reference: Option<&Reference>) -> VoidOutcome {
        let ours = references::charge(charge.order_id, key);
        // Without an idempotency key: a repeated cancel is harmless, and a remembered one would do nothing about a
        // charge that has arrived in between.
        let answer = match reference.filter(|reference| **reference != ours) {
            Some(theirs) => {
                let cancel = Modification::new(&self.merchant_account, ours.as_str(), None);
                self.calls.post(&format!("payments/{theirs}/cancels"), None, &cancel).await
            }
            None => {
                let (account, reference) = (self.merchant_account.as_str(), ours.as_str());
                let cancel = CancelByReference { merchant_account: account, payment_reference: reference, reference };
                self.calls.post("cancels", None, &cancel).await
            }
        };
        match answer {
            Ok(body) => reading::cancel_received(&body, reference, &ours),
            Err(failure) => reading::failed_void(failure),
        }
    }

    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        let amount = match Amount::of(refund.amount) {
            Ok(amount) => amount,
            Err(error) => return RefundOutcome::Refused(error.into()),
        };
        let ours = references::refund(refund);
        let request = Modification::new(&self.merchant_account, &ours, Some(amount));
        match self.calls.post(&format!("payments/{}/refunds", refund.payment), Some(key.as_str()), &request).await {
            Ok(body) => reading::refund_received(&body, &refund.payment),
            Err(failure) => reading::failed_refund(failure),
        }
    }

    async fn probe_refund(&self, _refund: &RefundRequest, _reference: Option<&Reference>) -> RefundProbeOutcome {
        RefundProbeOutcome::CannotAsk
    }

    fn verify_webhook(
        &self,
        _headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookEvent>, WebhookError> {
        let items = notifications::verified(body, &self.notification_keys)?;
        Ok(items.iter().map(|item| notification_events::read(item, now)).collect())
    }
}

#[cfg(test)]
mod tests;
