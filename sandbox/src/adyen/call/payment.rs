//! A payment to be made, as it is asked for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::described::{CARD, PAYMENT};
use super::{account, amount, short};
use crate::adyen::cards;
use crate::adyen::error::ApiError;
use crate::adyen::members::{Members, missing};
use crate::adyen::objects::{Amount, CaptureMode};

/// The longest delay between authorisation and capture.
const CAPTURE_DELAY_HOURS_MAX: i64 = 672;
/// How many entries metadata may have, and how long they may be.
const METADATA_ENTRIES_MAX: usize = 20;
const METADATA_NAME_CHARS_MAX: usize = 20;
const METADATA_VALUE_CHARS_MAX: usize = 80;
/// How long the merchant's name for a buyer must be at least.
const SHOPPER_REFERENCE_CHARS_MIN: usize = 3;

/// A payment to be made.
#[derive(Debug)]
pub(crate) struct NewPayment {
    pub(crate) merchant_account: String,
    pub(crate) reference: String,
    pub(crate) amount: Amount,
    /// The stored payment method.
    pub(crate) method: String,
    pub(crate) return_url: String,
    pub(crate) capture_mode: CaptureMode,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Reads `PaymentRequest`.
pub(super) fn parse(body: Value) -> Result<NewPayment, ApiError> {
    let mut members = Members::read("PaymentRequest", body, PAYMENT)?;
    let amount = amount(&mut members, 0)?;
    let merchant_account = account(&mut members)?;
    let reference = members.required("reference", "130")?;
    let method = stored_method(&mut members)?;
    let return_url = members.text("returnUrl")?;
    let return_url = return_url.ok_or_else(|| ApiError::invalid("14_030", "Return URL is missing."))?;
    one_of(&mut members, "shopperInteraction", &["Ecommerce", "ContAuth", "Moto", "POS"])?;
    Ok(NewPayment {
        merchant_account,
        reference: short(Some(reference))?.unwrap_or_default(),
        amount,
        method,
        return_url,
        capture_mode: capture_mode(&mut members)?,
        metadata: metadata(&mut members)?,
    })
}

/// The stored payment method, with what the description asks for beside one: whose it is, unless both
/// gateways have it. Card data never comes here.
fn stored_method(members: &mut Members) -> Result<String, ApiError> {
    let value = members.take("paymentMethod").ok_or_else(|| missing("paymentMethod", "14_004"))?;
    let mut method = Members::read("CardDetails", value, CARD)?;
    if !matches!(method.text("type")?.as_deref(), None | Some("scheme" | "card")) {
        return Err(ApiError::invalid("905", "Payment details are not supported"));
    }
    let id = method.required("storedPaymentMethodId", "14_004")?;
    let shopper = match members.text("shopperReference")? {
        None if cards::is_shared(&id) => None,
        None => return Err(missing("shopperReference", "139")),
        some => some,
    };
    if shopper.is_some_and(|shopper| shopper.chars().count() < SHOPPER_REFERENCE_CHARS_MIN) {
        return Err(ApiError::invalid("139", "Invalid shopperReference"));
    }
    let models = ["CardOnFile", "Subscription", "UnscheduledCardOnFile"];
    match one_of(members, "recurringProcessingModel", &models)? {
        Some(_) => Ok(id),
        None => Err(missing("recurringProcessingModel", "702")),
    }
}

fn capture_mode(members: &mut Members) -> Result<CaptureMode, ApiError> {
    let additional = members.texts("additionalData")?;
    let manual = additional.iter().find(|(name, _)| name == "manualCapture").map(|(_, value)| value.as_str());
    let hours = members.integer("captureDelayHours")?;
    match (manual, hours) {
        (Some("true"), _) => Ok(CaptureMode::Manual),
        (Some("false") | None, None | Some(0)) => Ok(CaptureMode::Immediate),
        (Some("false") | None, Some(hours @ 1..=CAPTURE_DELAY_HOURS_MAX)) => Ok(CaptureMode::Delayed { hours }),
        (Some("false") | None, Some(_)) => Err(ApiError::invalid("702", "Invalid captureDelayHours")),
        (Some(_), _) => {
            Err(ApiError::unreadable("Unexpected input for field 'manualCapture', expected: true or false"))
        }
    }
}

fn metadata(members: &mut Members) -> Result<BTreeMap<String, String>, ApiError> {
    let entries = members.texts("metadata")?;
    let is_too_long = |(name, value): &(String, String)| {
        name.chars().count() > METADATA_NAME_CHARS_MAX || value.chars().count() > METADATA_VALUE_CHARS_MAX
    };
    if entries.len() > METADATA_ENTRIES_MAX || entries.iter().any(is_too_long) {
        return Err(ApiError::invalid("177", "Metadata size exceeds limit"));
    }
    Ok(entries.into_iter().collect())
}

fn one_of(members: &mut Members, name: &str, values: &[&str]) -> Result<Option<String>, ApiError> {
    let value = members.text(name)?;
    match value {
        Some(value) if !values.contains(&value.as_str()) => {
            Err(ApiError::unreadable(format!("Unexpected input for field '{name}': {value}")))
        }
        value => Ok(value),
    }
}
