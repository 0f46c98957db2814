//! What an Adyen gateway remembers: payments and their modifications, as they are kept in the books'
//! file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::shelf::{Asked, Object};

/// An amount in Adyen's minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amount {
    pub(crate) value: i64,
    pub(crate) currency: String,
}

/// When the money is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureMode {
    /// With the authorisation, as accounts are set up unless somebody changes it.
    Immediate,
    /// So many hours after it.
    Delayed { hours: i64 },
    /// When it is asked for.
    Manual,
}

/// Where a buyer was sent, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Redirect {
    /// Whether the merchant has to say that the buyer came back.
    pub(crate) needs_details: bool,
    /// What the buyer brings back, and whether they did what the issuer wanted.
    pub(crate) result: Option<(String, bool)>,
}

/// A payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) psp_reference: String,
    pub(crate) merchant_account: String,
    pub(crate) reference: String,
    pub(crate) amount: Amount,
    pub(crate) method: String,
    pub(crate) status: Status,
    pub(crate) capture_mode: CaptureMode,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    /// The code of the reason that it was refused for.
    pub(crate) refusal: Option<u8>,
    pub(crate) return_url: String,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
    pub(crate) asked: Asked,
}

/// What a modification is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    Capture,
    Cancel,
    /// By the merchant's reference instead of Adyen's.
    TechnicalCancel,
    Refund,
    /// Whichever of cancel and refund is possible.
    Reverse,
}

/// How far a modification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Nobody has decided yet.
    Received,
    /// It let money go, took it, or gave it back.
    Cancelled,
    Captured,
    Refunded,
    /// It did nothing.
    Refused,
    /// It gave money back, and the money came back.
    Reversed,
}

/// A change of a payment that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Modification {
    pub(crate) psp_reference: String,
    pub(crate) act: Act,
    /// The payment, where it is known.
    pub(crate) payment: Option<String>,
    /// The merchant's name for the payment.
    pub(crate) payment_reference: String,
    pub(crate) merchant_account: String,
    /// The merchant's name for the modification.
    pub(crate) reference: Option<String>,
    pub(crate) amount: Option<Amount>,
    pub(crate) merchant_refund_reason: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) created_at_ms: i64,
    pub(crate) asked: Asked,
}

impl Object for Payment {
    fn id(&self) -> &str {
        &self.psp_reference
    }
}

impl Object for Modification {
    fn id(&self) -> &str {
        &self.psp_reference
    }
}
