//! Refunds: never more than what is left of a charge.

use serde_json::Value;

use super::{Context, forced_failure};
use crate::edge;
use crate::faults::Fault;
use crate::shelf::Asked;
use crate::stripe::call::{NewRefund, RefundTarget};
use crate::stripe::error::ApiError;
use crate::stripe::objects::{Charge, Refund, RefundStatus};
use crate::stripe::render;
use crate::stripe::store::{Effect, Store};

/// Gives money back.
pub(super) fn create(store: &mut Store, new: NewRefund, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let mut charge = find_charge(store, &new.target)?;
    let left = charge.amount_captured - charge.amount_refunded;
    if left == 0 {
        let message = format!("Charge {} has already been refunded.", charge.id);
        return Err(ApiError::invalid(message).code("charge_already_refunded"));
    }
    let amount = new.amount.unwrap_or(left);
    if amount > left {
        let currency = &charge.currency;
        let message = format!(
            "Refund amount ({amount} {currency}) is greater than unrefunded amount on charge \
             ({left} {currency})"
        );
        return Err(ApiError::invalid(message).param("amount"));
    }
    if let Some(failure) = forced_failure(context) {
        return Err(ApiError::refused(&failure));
    }
    let pending = context.take_outcome(&[Fault::Async]);
    let fails = context.take_outcome(&[Fault::RefundFailsLater]);

    let mut asked = Asked::default();
    asked.note(context.asked, context.key);
    let refund = Refund {
        id: edge::random_id("re_3", 23),
        intent: charge.intent.clone(),
        charge: charge.id.clone(),
        amount,
        currency: charge.currency.clone(),
        status: if pending.is_some() { RefundStatus::Pending } else { RefundStatus::Succeeded },
        reason: new.reason,
        metadata: new.metadata,
        created_at_ms: context.now_ms,
        asked,
    };
    context.reference = Some(refund.id.clone());
    let id = refund.id.clone();
    let later = match (pending, fails) {
        (Some(hit), _) => Some((hit, Effect::SucceedRefund { refund: id })),
        (None, Some(hit)) => Some((hit, Effect::FailRefund { refund: id })),
        (None, None) => None,
    };
    context.late.extend(later.map(|(hit, effect)| (context.now_ms + hit.delay_ms(), context.kind, effect)));
    charge.amount_refunded += amount;
    charge.refunds.push(refund.id.clone());
    let answer = render::refund(&refund);
    context.emit("charge.refunded", render::charge(&charge));
    context.emit("refund.updated", answer.clone());
    store.put_charge(charge);
    store.put_refund(refund);
    Ok(answer)
}

/// A pending refund reaches the buyer.
pub(super) fn succeed(store: &mut Store, id: &str, context: &mut Context<'_>) {
    let Some(mut refund) = store.refunds.get(id).cloned() else { return };
    refund.status = RefundStatus::Succeeded;
    context.emit("refund.updated", render::refund(&refund));
    store.put_refund(refund);
}

/// A refund comes back: its money can be given back again.
pub(super) fn fail(store: &mut Store, id: &str, context: &mut Context<'_>) {
    let Some(mut refund) = store.refunds.get(id).cloned() else { return };
    let Some(mut charge) = store.charges.get(&refund.charge).cloned() else { return };
    refund.status = RefundStatus::Failed;
    charge.amount_refunded -= refund.amount;
    context.emit("refund.failed", render::refund(&refund));
    store.put_charge(charge);
    store.put_refund(refund);
}

/// The charge that is meant, if its money was taken.
fn find_charge(store: &Store, target: &RefundTarget) -> Result<Charge, ApiError> {
    let (intent, charge) = match target {
        RefundTarget::Intent(id) => {
            let intent = store.intents.get(id);
            let intent = intent.ok_or_else(|| ApiError::missing(404, "payment_intent", id, "payment_intent"))?;
            let last = intent.charges.last();
            (id, last.and_then(|last| store.charges.get(last)))
        }
        RefundTarget::Charge(id) => {
            let charge = store.charges.get(id);
            let charge = charge.ok_or_else(|| ApiError::missing(404, "charge", id, "charge"))?;
            (&charge.intent, Some(charge))
        }
    };
    charge.filter(|charge| charge.amount_captured > 0).cloned().ok_or_else(|| {
        ApiError::invalid(format!("This PaymentIntent ({intent}) does not have a successful charge to refund."))
    })
}
