//! What Stripe's events mean. <https://docs.stripe.com/api/events/types>

use super::objects::{DisputeObject, PaymentIntent, RefundObject, money};
use super::{reading, refund_failures};
use crate::gateways::outcomes::Captured;
use crate::gateways::requests::Reference;
use crate::gateways::webhooks::{RefundState, WebhookError, WebhookEvent, WebhookKind};
use chrono::DateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

/// An event's envelope.
#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// Reads an event whose signature was right.
pub(super) fn read(body: &[u8]) -> Result<WebhookEvent, WebhookError> {
    let unreadable = |what: &str| WebhookError::Unreadable(what.to_owned());
    let event: Event = serde_json::from_slice(body).map_err(|_| unreadable("not an event"))?;
    let occurred_at = DateTime::from_timestamp(event.created, 0).ok_or_else(|| unreadable("no such time"))?;
    let object = event.data.object;
    let (order_id, kind) = match event.kind.as_str() {
        "payment_intent.succeeded"
        | "payment_intent.payment_failed"
        | "payment_intent.canceled"
        | "payment_intent.processing"
        | "payment_intent.requires_action" => payment(&event.kind, &typed(object)?)?,
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => refund(&typed(object)?)?,
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.closed"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated" => (None, dispute(typed(object)?)?),
        _ => (None, WebhookKind::Other(event.kind)),
    };
    Ok(WebhookEvent { id: event.id, occurred_at, order_id, own_reference: None, kind })
}

fn typed<T: DeserializeOwned>(object: Value) -> Result<T, WebhookError> {
    serde_json::from_value(object).map_err(|_| WebhookError::Unreadable("an object of an unknown form".into()))
}

/// What the event says happened; the object's own status may have moved on since.
fn payment<Id: FromStr>(event: &str, intent: &PaymentIntent) -> Result<(Option<Id>, WebhookKind), WebhookError> {
    let reference = intent.reference()?;
    let kind = match event {
        "payment_intent.succeeded" => WebhookKind::PaymentCaptured(Captured { reference, amount: intent.received()? }),
        "payment_intent.payment_failed" => {
            let error = intent.last_payment_error.clone().unwrap_or_default();
            WebhookKind::PaymentDeclined(reading::decline(&error, Some(reference)))
        }
        "payment_intent.canceled" => WebhookKind::PaymentVoided { reference },
        "payment_intent.requires_action" => {
            let next_action = intent.next_action.clone().unwrap_or(Value::Null);
            WebhookKind::PaymentActionRequired { reference, next_action }
        }
        _ => WebhookKind::PaymentProcessing { reference },
    };
    Ok((ours(&intent.metadata, "order_id"), kind))
}

fn refund<Id: FromStr>(object: &RefundObject) -> Result<(Option<Id>, WebhookKind), WebhookError> {
    let refunded = object.refunded()?;
    let state = match object.status.as_str() {
        "succeeded" => RefundState::Succeeded,
        "failed" | "canceled" => {
            let reason = object.failure_reason.clone().unwrap_or_else(|| object.status.clone());
            RefundState::Failed { is_final: refund_failures::is_final(&reason), reason }
        }
        _ => RefundState::Pending,
    };
    let refund_id = ours(&object.metadata, "refund_id");
    let kind = WebhookKind::Refund {
        reference: refunded.reference,
        payment: named(object.payment_intent.as_deref()),
        refund_id,
        // the first try does not say that it is the first
        generation: ours(&object.metadata, "generation").or(refund_id.map(|_| 1)),
        amount: refunded.amount,
        state,
    };
    Ok((ours(&object.metadata, "order_id"), kind))
}

fn dispute(object: DisputeObject) -> Result<WebhookKind, WebhookError> {
    Ok(WebhookKind::Dispute {
        reference: super::objects::reference(&object.id)?,
        payment: named(object.payment_intent.as_deref()),
        amount: money(object.amount, &object.currency)?,
        status: object.status,
    })
}

fn named(id: Option<&str>) -> Option<Reference> {
    Reference::new(id?).ok()
}

/// One of our own ids, which we sent as metadata.
fn ours<Id: FromStr>(metadata: &BTreeMap<String, String>, name: &str) -> Option<Id> {
    metadata.get(name)?.parse().ok()
}
