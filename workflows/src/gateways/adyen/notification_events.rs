//! What Adyen's notifications mean. <https://docs.adyen.com/development-resources/webhooks/webhook-types>

use super::notifications::Item;
use super::objects::reference;
use super::{amounts, reading, references, refund_failures};
use crate::gateways::answers::{sentence, unreadable};
use crate::gateways::outcomes::{CAPTURE_FAILED, Captured, Decline, DeclineCategory, Doubt};
use crate::gateways::requests::Reference;
use crate::gateways::webhooks::{RefundState, WebhookEvent, WebhookKind};
use crate::money::Money;
use chrono::{DateTime, Utc};

/// Reads an item whose signature was right. Its time is not signed and decides nothing: one that cannot be read is now.
pub(super) fn read(item: &Item, now: DateTime<Utc>) -> WebhookEvent {
    let (event, success) = (item.event_code.0.as_str(), item.success.0.as_str());
    let occurred_at = DateTime::parse_from_rfc3339(&item.event_date.0).map_or(now, |time| time.to_utc());
    WebhookEvent {
        id: format!("{}:{event}:{success}", item.psp_reference.0),
        occurred_at,
        order_id: references::named(&item.merchant_reference.0),
        own_reference: references::own_charge(&item.merchant_reference.0),
        kind: kind(item, event, success).unwrap_or_else(|doubt| WebhookKind::Unreadable(doubt.detail)),
    }
}

fn kind(item: &Item, event: &str, success: &str) -> Result<WebhookKind, Doubt> {
    let succeeded = success.parse().map_err(|_| unreadable("a notification without success"))?;
    Ok(match (event, succeeded) {
        // Payments are captured automatically: the authorisation is the capture.
        ("AUTHORISATION", true) => captured(psp(item)?, money(item)?),
        ("AUTHORISATION", false) => {
            WebhookKind::PaymentDeclined(reading::decline(Some(psp(item)?), None, Some(&item.reason.0)))
        }
        ("PENDING", true) => WebhookKind::PaymentProcessing { reference: psp(item)? },
        // Of payments that somebody captures by hand.
        ("CAPTURE", true) => captured(original(item)?, money(item)?),
        ("CAPTURE", false) | ("CAPTURE_FAILED", _) => WebhookKind::PaymentDeclined(Decline {
            reference: Some(original(item)?),
            code: CAPTURE_FAILED.into(),
            category: DeclineCategory::Final,
            message: sentence(&item.reason.0),
        }),
        ("CANCELLATION" | "TECHNICAL_CANCEL", true) => WebhookKind::PaymentVoided { reference: original(item)? },
        ("CANCELLATION" | "TECHNICAL_CANCEL", false) => {
            WebhookKind::PaymentVoidFailed { reference: Reference::new(item.original_reference.0.clone()).ok() }
        }
        ("CANCEL_OR_REFUND", true) => match item.additional("modification.action") {
            Some("cancel") => WebhookKind::PaymentVoided { reference: original(item)? },
            Some("refund") => refund(item, RefundState::Succeeded)?,
            _ => WebhookKind::Other(event.to_owned()),
        },
        ("REFUND", true) => refund(item, RefundState::Succeeded)?,
        ("REFUND", false) | ("REFUND_FAILED", _) => refund(item, failed(&item.reason.0))?,
        // It had succeeded, and the money came back to us.
        ("REFUNDED_REVERSED", _) => refund(item, failed("refund_reversed"))?,
        (
            "NOTIFICATION_OF_CHARGEBACK"
            | "REQUEST_FOR_INFORMATION"
            | "CHARGEBACK"
            | "CHARGEBACK_REVERSED"
            | "SECOND_CHARGEBACK"
            | "PREARBITRATION_WON"
            | "PREARBITRATION_LOST",
            _,
        ) => WebhookKind::Dispute {
            reference: psp(item)?,
            payment: Reference::new(item.original_reference.0.clone()).ok(),
            amount: money(item)?,
            status: event.to_owned(),
        },
        _ => WebhookKind::Other(event.to_owned()),
    })
}

fn captured(reference: Reference, amount: Money) -> WebhookKind {
    WebhookKind::PaymentCaptured(Captured { reference, amount })
}

fn failed(reason: &str) -> RefundState {
    RefundState::Failed { reason: sentence(reason), is_final: refund_failures::is_final(reason) }
}

fn refund(item: &Item, state: RefundState) -> Result<WebhookKind, Doubt> {
    Ok(WebhookKind::Refund {
        reference: psp(item)?,
        payment: Some(original(item)?),
        refund_id: references::named(&item.merchant_reference.0),
        generation: references::generation(&item.merchant_reference.0),
        amount: money(item)?,
        state,
    })
}

/// What the item is about: the payment, or the change to one.
fn psp(item: &Item) -> Result<Reference, Doubt> {
    reference(&item.psp_reference.0)
}

/// The payment that a change was made to.
fn original(item: &Item) -> Result<Reference, Doubt> {
    reference(&item.original_reference.0)
}

fn money(item: &Item) -> Result<Money, Doubt> {
    let number = item.amount.value.0.parse().map_err(|_| unreadable("an amount that is not an integer"))?;
    amounts::from_adyen(number, &item.amount.currency.0).map_err(|error| unreadable(error.to_string()))
}
