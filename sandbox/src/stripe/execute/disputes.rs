//! Disputes: told, and of no effect on what the books say.

use serde_json::json;

use super::Context;
use crate::gateway::Dispute;
use crate::stripe::store::Store;

/// Tells how a dispute over a payment intent stands. False when it has taken no money.
pub(crate) fn dispute(store: &Store, intent: &str, dispute: Dispute, context: &mut Context<'_>) -> bool {
    let paid = |id: &String| store.charges.get(id).filter(|charge| charge.amount_captured > 0);
    let charge = store.intents.get(intent).and_then(|intent| intent.charges.iter().find_map(paid));
    let Some(charge) = charge else { return false };
    let (kind, status) = match dispute {
        Dispute::Opened => ("charge.dispute.created", "needs_response"),
        Dispute::Won => ("charge.dispute.closed", "won"),
        Dispute::Lost => ("charge.dispute.closed", "lost"),
    };
    let object = json!({
        // one for each payment, so that its end is told of the same
        "id": intent.replacen("pi_", "du_", 1),
        "object": "dispute",
        "amount": charge.amount_captured,
        "charge": charge.id,
        "currency": charge.currency,
        "created": context.now_ms / 1000,
        "is_charge_refundable": false,
        "livemode": false,
        "metadata": {},
        "payment_intent": intent,
        "reason": "fraudulent",
        "status": status,
    });
    context.emit(kind, object);
    true
}
