//! The store as the books show it.

use super::objects::{Act, Modification, Outcome, Payment};
use super::status::Status;
use super::store::Store;
use super::{cards, currencies};
use crate::books::{Books, ChargeEntry, RefundEntry, VoidEntry};
use crate::edge;

/// The books as they are now.
pub(super) fn books(store: &Store) -> Books {
    let modifications = || store.modifications.iter();
    Books {
        charges: store.payments.iter().map(charge).collect(),
        voids: modifications().filter(|it| is_void(it)).map(|it| void(store, it)).collect(),
        refunds: modifications().filter(|it| is_refund(it)).map(|it| refund(store, it)).collect(),
    }
}

/// A reversal is in the books as what it did; until then, and when it did nothing, as a void.
fn is_refund(modification: &Modification) -> bool {
    let has_refunded = matches!(modification.outcome, Outcome::Refunded | Outcome::Reversed);
    modification.act == Act::Refund || has_refunded
}

fn is_void(modification: &Modification) -> bool {
    modification.act != Act::Capture && !is_refund(modification)
}

fn charge(payment: &Payment) -> ChargeEntry {
    ChargeEntry {
        reference: payment.psp_reference.clone(),
        merchant_reference: Some(payment.reference.clone()),
        charge: None,
        amount: payment.amount.value,
        currency: payment.amount.currency.clone(),
        exponent: currencies::exponent(&payment.amount.currency),
        status: status(payment),
        protocol_status: payment.status.result_code(),
        captured: payment.captured,
        refunded: payment.refunded,
        decline_code: payment.refusal.and_then(cards::refusal).map(|refusal| refusal.code.to_string()),
        payment_method: Some(payment.method.clone()),
        idempotency_keys: payment.asked.keys.clone(),
        metadata: payment.metadata.clone(),
        asked: payment.asked.count,
        created_at: edge::rfc3339(payment.created_at_ms),
        updated_at: edge::rfc3339(payment.updated_at_ms),
    }
}

fn status(payment: &Payment) -> &'static str {
    match payment.status {
        Status::Received | Status::Pending => "processing",
        Status::Redirected => "actionRequired",
        Status::Authorised => "authorized",
        Status::Captured if payment.captured > 0 && payment.refunded == payment.captured => "refunded",
        Status::Captured => "captured",
        Status::Refused => "declined",
        Status::Cancelled => "voided",
    }
}

fn void(store: &Store, modification: &Modification) -> VoidEntry {
    let payment = modification.payment.as_ref().and_then(|id| store.payments.get(id));
    VoidEntry {
        reference: modification.payment.clone().unwrap_or_else(|| modification.psp_reference.clone()),
        merchant_reference: Some(modification.payment_reference.clone()),
        amount: payment.map_or(0, |payment| payment.amount.value),
        currency: payment.map(|payment| payment.amount.currency.clone()).unwrap_or_default(),
        status: match modification.outcome {
            Outcome::Received => "pending",
            Outcome::Cancelled => "voided",
            _ => "failed",
        },
        idempotency_keys: modification.asked.keys.clone(),
        metadata: payment.map(|payment| payment.metadata.clone()).unwrap_or_default(),
        asked: modification.asked.count,
        created_at: edge::rfc3339(modification.created_at_ms),
    }
}

fn refund(store: &Store, modification: &Modification) -> RefundEntry {
    let payment = modification.payment.as_ref().and_then(|id| store.payments.get(id));
    let amount = modification.amount.as_ref();
    RefundEntry {
        reference: modification.psp_reference.clone(),
        merchant_reference: modification.reference.clone(),
        payment: modification.payment.clone().unwrap_or_default(),
        charge: None,
        amount: amount.map_or(0, |amount| amount.value),
        currency: amount.map(|amount| amount.currency.clone()).unwrap_or_default(),
        status: match modification.outcome {
            Outcome::Received => "pending",
            Outcome::Refunded => "succeeded",
            _ => "failed",
        },
        reason: modification.merchant_refund_reason.clone(),
        idempotency_keys: modification.asked.keys.clone(),
        metadata: payment.map(|payment| payment.metadata.clone()).unwrap_or_default(),
        asked: modification.asked.count,
        created_at: edge::rfc3339(modification.created_at_ms),
    }
}
