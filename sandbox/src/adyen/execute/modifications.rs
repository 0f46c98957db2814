//! Modifications, as they are received: nothing is decided yet.

use serde_json::{Value, json};

use super::Context;
use crate::adyen::call::NewModification;
use crate::adyen::error::ApiError;
use crate::adyen::new_psp_reference;
use crate::adyen::objects::{Act, Modification, Outcome};
use crate::adyen::store::{Effect, Store};
use crate::faults::Fault;
use crate::shelf::Asked;

/// How long after it was received a modification is decided when nothing else is said.
const DECISION_MS: i64 = 50;

/// Receives a modification. A payment that Adyen is to know by its own reference must be there; one
/// that is named by the merchant's is looked for when the modification is decided.
pub(super) fn receive(store: &mut Store, new: NewModification, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let (payment, payment_reference) = match new.act {
        Act::TechnicalCancel => (None, new.payment),
        _ => {
            let payment = store.payments.get(&new.payment).ok_or_else(ApiError::unknown_payment)?;
            if payment.merchant_account != new.merchant_account {
                return Err(ApiError::wrong_account());
            }
            (Some(new.payment), payment.reference.clone())
        }
    };
    let mut asked = Asked::default();
    asked.note(context.asked, context.key);
    let modification = Modification {
        psp_reference: new_psp_reference(),
        act: new.act,
        payment,
        payment_reference,
        merchant_account: new.merchant_account,
        reference: new.reference,
        amount: new.amount,
        merchant_refund_reason: new.merchant_refund_reason,
        outcome: Outcome::Received,
        created_at_ms: context.now_ms,
        asked,
    };
    context.reference = Some(modification.psp_reference.clone());
    let hit = context.outcome.take();
    let delay_of = |fault| hit.as_ref().filter(|hit| hit.fault == fault).map(|hit| hit.delay_ms());
    let effect = Effect::Settle {
        modification: modification.psp_reference.clone(),
        is_refused: hit.as_ref().is_some_and(|hit| matches!(hit.fault, Fault::Decline | Fault::InsufficientFunds)),
        fails_after_ms: delay_of(Fault::RefundFailsLater),
    };
    let decision_ms = delay_of(Fault::Async).unwrap_or(DECISION_MS);
    context.late.push((context.now_ms + decision_ms, context.kind, effect));
    let answer = render(&modification);
    store.put_modification(modification);
    Ok(answer)
}

/// What every modification is answered with.
fn render(modification: &Modification) -> Value {
    let mut answer = json!({
        "merchantAccount": modification.merchant_account,
        "pspReference": modification.psp_reference,
        "status": "received",
    });
    match &modification.payment {
        Some(payment) => answer["paymentPspReference"] = json!(payment),
        None => answer["paymentReference"] = json!(modification.payment_reference),
    }
    if let Some(reference) = &modification.reference {
        answer["reference"] = json!(reference);
    }
    if let Some(amount) = &modification.amount {
        answer["amount"] = json!(amount);
    }
    if let Some(reason) = &modification.merchant_refund_reason {
        answer["merchantRefundReason"] = json!(reason);
    }
    answer
}
