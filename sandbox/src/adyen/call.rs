//! Requests as typed calls: which endpoint, with which members.

mod described;
mod payment;

use serde_json::Value;

use self::described::{AMOUNT, CANCEL, CAPTURE, COMPLETION, DETAILS, REFUND, TECHNICAL_CANCEL};
use super::currencies;
use super::error::ApiError;
use super::members::{Members, missing};
use super::objects::{Act, Amount};
use crate::faults::Kind;

pub(super) use self::payment::NewPayment;

/// The version of the API, as it stands in every path.
const VERSION: &str = "/v71/";
/// How long the merchant's own names for things may be.
const REFERENCE_CHARS_MAX: usize = 80;

/// What can be asked of the gateway.
#[derive(Debug)]
pub(crate) enum Call {
    Pay(Box<NewPayment>),
    /// The buyer came back with this.
    Complete {
        redirect_result: String,
    },
    Modify(NewModification),
}

/// A modification to be made.
#[derive(Debug)]
pub(crate) struct NewModification {
    pub(crate) act: Act,
    /// The payment: Adyen's name for it, or the merchant's for a technical cancel.
    pub(crate) payment: String,
    pub(crate) merchant_account: String,
    pub(crate) reference: Option<String>,
    pub(crate) amount: Option<Amount>,
    pub(crate) merchant_refund_reason: Option<String>,
}

impl Call {
    /// The call that a POST of `body` to `path` is.
    pub(super) fn parse(path: &str, body: Value) -> Result<Self, ApiError> {
        let below = path.strip_prefix(VERSION).ok_or_else(ApiError::unknown_path)?;
        let parts: Vec<_> = below.split('/').collect();
        match parts[..] {
            ["payments"] => payment::parse(body).map(|new| Self::Pay(Box::new(new))),
            ["payments", "details"] => complete(body),
            ["cancels"] => modify(Act::TechnicalCancel, None, body),
            ["payments", payment, act] if !payment.is_empty() => {
                let act = match act {
                    "captures" => Act::Capture,
                    "cancels" => Act::Cancel,
                    "refunds" => Act::Refund,
                    "reversals" => Act::Reverse,
                    _ => return Err(ApiError::unknown_path()),
                };
                modify(act, Some(payment), body)
            }
            _ => Err(ApiError::unknown_path()),
        }
    }

    /// What the call is about, in the words of every protocol.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Pay(_) | Self::Complete { .. } => Kind::Charge,
            Self::Modify(new) => new.act.kind(),
        }
    }

    /// The HTTP status of its success.
    pub(super) fn success_status(&self) -> u16 {
        match self {
            Self::Pay(_) | Self::Complete { .. } => 200,
            Self::Modify(_) => 201,
        }
    }
}

impl Act {
    /// What a modification is about, in the words of every protocol.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Capture => Kind::Capture,
            Self::Cancel | Self::TechnicalCancel | Self::Reverse => Kind::Void,
            Self::Refund => Kind::Refund,
        }
    }
}

fn complete(body: Value) -> Result<Call, ApiError> {
    let mut members = Members::read("PaymentDetailsRequest", body, DETAILS)?;
    let details = members.take("details").ok_or_else(|| missing("details", "702"))?;
    let mut details = Members::read("PaymentCompletionDetails", details, COMPLETION)?;
    let redirect_result = details.required("redirectResult", "702")?;
    Ok(Call::Complete { redirect_result })
}

fn modify(act: Act, payment: Option<&str>, body: Value) -> Result<Call, ApiError> {
    let (structure, known) = match act {
        Act::Capture => ("PaymentCaptureRequest", CAPTURE),
        Act::Cancel => ("PaymentCancelRequest", CANCEL),
        Act::TechnicalCancel => ("StandalonePaymentCancelRequest", TECHNICAL_CANCEL),
        Act::Refund => ("PaymentRefundRequest", REFUND),
        Act::Reverse => ("PaymentReversalRequest", CANCEL),
    };
    let mut members = Members::read(structure, body, known)?;
    let merchant_account = account(&mut members)?;
    let payment = match payment {
        Some(payment) => payment.to_owned(),
        None => members.required("paymentReference", "130")?,
    };
    let amount = match act {
        Act::Capture | Act::Refund => Some(amount(&mut members, 1)?),
        Act::Cancel | Act::TechnicalCancel | Act::Reverse => None,
    };
    let reason = members.text("merchantRefundReason")?;
    let reasons = ["FRAUD", "CUSTOMER REQUEST", "RETURN", "DUPLICATE", "OTHER"];
    if let Some(reason) = reason.as_deref().filter(|reason| !reasons.contains(reason)) {
        return Err(ApiError::unreadable(format!("Unexpected input for field 'merchantRefundReason': {reason}")));
    }
    Ok(Call::Modify(NewModification {
        act,
        payment,
        merchant_account,
        reference: short(members.text("reference")?)?,
        amount,
        merchant_refund_reason: reason,
    }))
}

/// The merchant account; Adyen counts one that is missing as one that is not the merchant's.
fn account(members: &mut Members) -> Result<String, ApiError> {
    members.text("merchantAccount")?.ok_or_else(ApiError::wrong_account)
}

/// The member `amount`, of at least `minimum`.
fn amount(members: &mut Members, minimum: i64) -> Result<Amount, ApiError> {
    let value = members.take("amount").ok_or_else(|| ApiError::invalid("100", "No amount specified"))?;
    let mut members = Members::read("Amount", value, AMOUNT)?;
    let currency = members.required("currency", "138")?;
    let value = members.integer("value")?.ok_or_else(|| ApiError::invalid("100", "No amount specified"))?;
    if currencies::exponent(&currency).is_none() {
        return Err(ApiError::invalid("138", "Unsupported currency specified"));
    }
    if value < minimum {
        return Err(ApiError::invalid("137", "Invalid amount specified"));
    }
    Ok(Amount { value, currency })
}

/// A name that the merchant gives something.
fn short(reference: Option<String>) -> Result<Option<String>, ApiError> {
    if reference.as_ref().is_some_and(|reference| reference.chars().count() > REFERENCE_CHARS_MAX) {
        let message = format!("Field 'reference' is longer than {REFERENCE_CHARS_MAX} characters.");
        return Err(ApiError::invalid("702", message));
    }
    Ok(reference)
}
