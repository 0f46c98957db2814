//! What a Stripe gateway remembers: payment intents, charges and refunds, as they are kept in the
//! books' file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;
use crate::faults::Kind;
use crate::shelf::{Asked, Object};

/// Free members that the merchant gives and gets back.
pub(crate) type Metadata = BTreeMap<String, String>;

/// When the money is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureMethod {
    Automatic,
    AutomaticAsync,
    Manual,
}

/// Who confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConfirmationMethod {
    Automatic,
    Manual,
}

/// Whether payment methods that redirect the buyer are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Redirects {
    Always,
    Never,
}

/// Whether the payment method is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FutureUsage {
    OffSession,
    OnSession,
}

/// Why a payment intent was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancellationReason {
    Abandoned,
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
}

/// Why money was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundReason {
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
}

impl RefundReason {
    /// Stripe's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Fraudulent => "fraudulent",
            Self::RequestedByCustomer => "requested_by_customer",
        }
    }
}

/// Why a charge did not go through.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) decline_code: Option<String>,
    pub(crate) message: String,
    /// The attempt, where there was one.
    pub(crate) charge: Option<String>,
    /// What was to be charged.
    pub(crate) payment_method: Option<String>,
}

impl Failure {
    /// A failure that does not belong to an attempt yet.
    pub(crate) fn new(code: &str, decline_code: Option<&str>, message: &str) -> Self {
        Self {
            code: code.to_owned(),
            decline_code: decline_code.map(str::to_owned),
            message: message.to_owned(),
            charge: None,
            payment_method: None,
        }
    }
}

/// A payment intent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) amount: i64,
    pub(crate) amount_received: i64,
    pub(crate) currency: String,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) confirmation_method: ConfirmationMethod,
    /// Set when Stripe chooses the payment method types.
    pub(crate) automatic: Option<Redirects>,
    pub(crate) payment_method_types: Vec<String>,
    pub(crate) payment_method: Option<String>,
    pub(crate) client_secret: String,
    pub(crate) customer: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) receipt_email: Option<String>,
    pub(crate) setup_future_usage: Option<FutureUsage>,
    pub(crate) statement_descriptor: Option<String>,
    pub(crate) statement_descriptor_suffix: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) charges: Vec<String>,
    pub(crate) last_error: Option<Failure>,
    /// What the buyer has to do, and where they come back to.
    pub(crate) next_action: Option<Value>,
    pub(crate) cancellation_reason: Option<CancellationReason>,
    pub(crate) canceled_at_ms: Option<i64>,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
    pub(crate) asked: BTreeMap<Kind, Asked>,
}

/// One attempt to take the money of a payment intent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) intent: String,
    pub(crate) amount: i64,
    pub(crate) amount_captured: i64,
    pub(crate) amount_refunded: i64,
    /// An authorization that was let go before it was captured.
    pub(crate) is_released: bool,
    pub(crate) currency: String,
    pub(crate) payment_method: String,
    pub(crate) failure: Option<Failure>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) refunds: Vec<String>,
    pub(crate) created_at_ms: i64,
}

/// How far a refund has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    Pending,
    /// A refund that a card issuer takes succeeds at once.
    #[default]
    Succeeded,
    Failed,
}

impl RefundStatus {
    /// Stripe's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// Money given back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) intent: String,
    pub(crate) charge: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) status: RefundStatus,
    pub(crate) reason: Option<RefundReason>,
    pub(crate) metadata: Metadata,
    pub(crate) created_at_ms: i64,
    pub(crate) asked: Asked,
}

impl Object for Intent {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Object for Charge {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Object for Refund {
    fn id(&self) -> &str {
        &self.id
    }
}
