//! Stripe's objects, as far as we read them. What we do not know is ignored; what we need and is missing makes the
//! answer unreadable.

use super::{amounts, unreadable};
use crate::gateways::answers::{ProtocolError, parse, sentence};
use crate::gateways::outcomes::{Doubt, DoubtReason, Refunded};
use crate::gateways::requests::Reference;
use crate::money::Money;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A payment intent.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PaymentIntent {
    id: String,
    pub(super) status: String,
    amount: i64,
    #[serde(default)]
    amount_received: Option<i64>,
    currency: String,
    #[serde(default)]
    pub(super) last_payment_error: Option<ErrorObject>,
    #[serde(default)]
    pub(super) next_action: Option<Value>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

impl PaymentIntent {
    pub(super) fn reference(&self) -> Result<Reference, Doubt> {
        reference(&self.id)
    }

    /// What was taken, once it has succeeded.
    pub(super) fn received(&self) -> Result<Money, Doubt> {
        money(self.amount_received.unwrap_or(self.amount), &self.currency)
    }
}

/// A refund.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RefundObject {
    id: String,
    amount: i64,
    currency: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) payment_intent: Option<String>,
    #[serde(default)]
    pub(super) failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

impl RefundObject {
    pub(super) fn refunded(&self) -> Result<Refunded, Doubt> {
        Ok(Refunded { reference: reference(&self.id)?, amount: money(self.amount, &self.currency)? })
    }
}

/// A page of refunds, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct RefundList {
    pub(super) data: Vec<RefundObject>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// A dispute.
#[derive(Debug, Deserialize)]
pub(super) struct DisputeObject {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) payment_intent: Option<String>,
}

/// What is wrong, in an error answer or as a payment intent's last error.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ErrorObject {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    pub(super) param: Option<String>,
    #[serde(default)]
    pub(super) payment_intent: Option<Box<PaymentIntent>>,
}

impl ErrorObject {
    /// The decline code where there is one, else the error's code, else its kind.
    pub(super) fn word(&self) -> &str {
        let words = [&self.decline_code, &self.code, &self.kind];
        words.into_iter().flatten().next().map_or("unknown", String::as_str)
    }

    /// Stripe's sentence, fit to be stored and shown.
    pub(super) fn sentence(&self) -> String {
        sentence(self.message.as_deref().unwrap_or_default())
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// The issuer or Stripe said no to the card.
    pub(super) fn is_decline(&self, status: StatusCode) -> bool {
        status == StatusCode::PAYMENT_REQUIRED
            || self.kind.as_deref() == Some("card_error")
            || self.has_code("card_declined")
    }

    /// Something that the call names is not there.
    pub(super) fn is_missing(&self, status: StatusCode) -> bool {
        status == StatusCode::NOT_FOUND || self.has_code("resource_missing")
    }

    /// The path is not one of Stripe's: the configured address is wrong.
    pub(super) fn is_unknown_path(&self) -> bool {
        self.message.as_deref().is_some_and(|message| message.starts_with("Unrecognized request URL"))
    }
}

/// An error answer.
#[derive(Debug, Deserialize)]
struct ErrorEnvelope {
    error: ErrorObject,
}

impl ProtocolError for ErrorObject {
    fn parse(body: &[u8]) -> Result<Self, Doubt> {
        parse::<ErrorEnvelope>(body).map(|envelope| envelope.error)
    }

    fn doubt(&self) -> Option<DoubtReason> {
        if self.kind.as_deref() == Some("idempotency_error") {
            return Some(DoubtReason::KeyReused);
        }
        // Another request holds the object: quite possibly an earlier one of ours.
        self.has_code("lock_timeout").then_some(DoubtReason::InFlight)
    }
}

pub(super) fn reference(id: &str) -> Result<Reference, Doubt> {
    Reference::new(id).map_err(|error| unreadable(error.to_string()))
}

pub(super) fn money(number: i64, currency: &str) -> Result<Money, Doubt> {
    amounts::from_stripe(number, currency).map_err(|error| unreadable(error.to_string()))
}
