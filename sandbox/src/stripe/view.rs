//! The store as the books show it.

use super::objects::{Intent, Refund};
use super::status::Status;
use super::store::Store;
use crate::books::{Books, ChargeEntry, RefundEntry, VoidEntry};
use crate::edge;
use crate::faults::Kind;
use crate::shelf::Asked;

/// The books as they are now.
pub(crate) fn books(store: &Store) -> Books {
    let is_void = |intent: &&Intent| intent.status == Status::Canceled;
    Books {
        charges: store.intents.iter().map(|it| charge(store, it)).collect(),
        voids: store.intents.iter().filter(is_void).map(void).collect(),
        refunds: store.refunds.iter().map(refund).collect(),
    }
}

fn charge(store: &Store, intent: &Intent) -> ChargeEntry {
    let attempts = || intent.charges.iter().filter_map(|id| store.charges.get(id));
    let captured = attempts().map(|attempt| attempt.amount_captured).sum();
    let refunded = attempts().map(|attempt| attempt.amount_refunded).sum();
    let last = attempts().next_back();
    let keys = [Kind::Create, Kind::Charge, Kind::Capture].map(|kind| asked(intent, kind).keys);
    ChargeEntry {
        reference: intent.id.clone(),
        merchant_reference: None,
        charge: last.map(|attempt| attempt.id.clone()),
        amount: intent.amount,
        currency: intent.currency.to_uppercase(),
        exponent: None,
        status: status(intent, captured, refunded),
        protocol_status: intent.status.name(),
        captured,
        refunded,
        decline_code: intent.last_error.as_ref().map(|failure| {
            let code = failure.decline_code.as_ref();
            code.unwrap_or(&failure.code).clone()
        }),
        payment_method: last.map(|attempt| attempt.payment_method.clone()).or_else(|| intent.payment_method.clone()),
        idempotency_keys: keys.concat(),
        metadata: intent.metadata.clone(),
        asked: asked(intent, Kind::Charge).count,
        created_at: edge::rfc3339(intent.created_at_ms),
        updated_at: edge::rfc3339(intent.updated_at_ms),
    }
}

fn status(intent: &Intent, captured: i64, refunded: i64) -> &'static str {
    match intent.status {
        Status::Succeeded if refunded == captured => "refunded",
        Status::Succeeded => "captured",
        Status::Canceled => "voided",
        Status::RequiresCapture => "authorized",
        Status::RequiresAction => "actionRequired",
        Status::Processing => "processing",
        Status::RequiresPaymentMethod if intent.last_error.is_some() => "declined",
        Status::RequiresPaymentMethod | Status::RequiresConfirmation => "created",
    }
}

fn void(intent: &Intent) -> VoidEntry {
    let asked = asked(intent, Kind::Void);
    VoidEntry {
        reference: intent.id.clone(),
        merchant_reference: None,
        amount: intent.amount,
        currency: intent.currency.to_uppercase(),
        status: "voided",
        idempotency_keys: asked.keys,
        metadata: intent.metadata.clone(),
        asked: asked.count,
        created_at: edge::rfc3339(intent.canceled_at_ms.unwrap_or(intent.updated_at_ms)),
    }
}

fn refund(refund: &Refund) -> RefundEntry {
    RefundEntry {
        reference: refund.id.clone(),
        merchant_reference: None,
        payment: refund.intent.clone(),
        charge: Some(refund.charge.clone()),
        amount: refund.amount,
        currency: refund.currency.to_uppercase(),
        status: refund.status.name(),
        reason: refund.reason.map(|reason| reason.name().to_owned()),
        idempotency_keys: refund.asked.keys.clone(),
        metadata: refund.metadata.clone(),
        asked: refund.asked.count,
        created_at: edge::rfc3339(refund.created_at_ms),
    }
}

fn asked(intent: &Intent, kind: Kind) -> Asked {
    intent.asked.get(&kind).cloned().unwrap_or_default()
}
