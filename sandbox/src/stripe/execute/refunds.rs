//! Refunds: never more than what is left of a charge.

use serde_json::Value;

use super::Context;
use crate::edge;
use crate::stripe::call::{NewRefund, RefundTarget};
use crate::stripe::error::ApiError;
use crate::stripe::objects::{Asked, Charge, Refund};
use crate::stripe::render;
use crate::stripe::store::Store;

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
    if let Some(failure) = context.forced_failure.take() {
        return Err(ApiError::refused(&failure));
    }

    let mut asked = Asked::default();
    asked.note(store.asked_so_far(context.key), context.key);
    let refund = Refund {
        id: edge::random_id("re_3", 23),
        intent: charge.intent.clone(),
        charge: charge.id.clone(),
        amount,
        currency: charge.currency.clone(),
        reason: new.reason,
        metadata: new.metadata,
        created_at_ms: context.now_ms,
        asked,
    };
    context.reference = Some(refund.id.clone());
    charge.amount_refunded += amount;
    charge.refunds.push(refund.id.clone());
    let answer = render::refund(&refund);
    context.emit("charge.refunded", render::charge(&charge));
    context.emit("refund.updated", answer.clone());
    store.put_charge(charge);
    store.put_refund(refund);
    Ok(answer)
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
