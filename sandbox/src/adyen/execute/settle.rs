//! Modifications, as they are decided: on the payment as it is then, not as it was when they were
//! received.
//!
//! A cancel finds a payment, or does not; it leaves nothing behind. A payment that arrives after a
//! cancel that did not find it is made like any other.

use super::Context;
use super::payments::advance;
use crate::adyen::notification;
use crate::adyen::objects::{Act, Modification, Outcome, Payment};
use crate::adyen::status::{Event, Status};
use crate::adyen::store::{Effect, Store};

const REFUSED: &str = "Refused";
const NOT_FOUND: &str = "Transaction not found";
const NOT_CAPTURED: &str = "Transaction hasn't been captured, refund not possible";
const CAPTURED: &str = "Transaction has been captured, cancel not possible";
const NOT_AUTHORISED: &str = "Transaction hasn't been authorised";
const INSUFFICIENT: &str = "Insufficient balance on payment";
const OTHER_CURRENCY: &str = "Currency does not match the authorisation";

/// Decides a modification and tells the outcome.
pub(super) fn settle(
    store: &mut Store,
    id: &str,
    is_refused: bool,
    fails_after_ms: Option<i64>,
    context: &mut Context<'_>,
) {
    let Some(mut modification) = store.modifications.get(id).cloned() else { return };
    let mut payment = find(store, &modification);
    let result = match &mut payment {
        _ if is_refused => Err(REFUSED),
        None => Err(NOT_FOUND),
        Some(payment) => apply(&modification, payment, context),
    };
    modification.outcome = result.unwrap_or(Outcome::Refused);
    let mut event = notification::Event::decided(&modification, payment.as_ref(), result.map(drop));
    if modification.act == Act::Reverse && result.is_ok() {
        event = event.doing(if result == Ok(Outcome::Refunded) { "refund" } else { "cancel" });
    }
    context.events.push(event);
    if let (Ok(Outcome::Refunded), Some(after_ms)) = (result, fails_after_ms) {
        let effect = Effect::FailRefund { modification: modification.psp_reference.clone() };
        context.late.push((context.now_ms + after_ms, context.kind, effect));
    }
    if let Some(payment) = payment {
        modification.payment = Some(payment.psp_reference.clone());
        if result == Ok(Outcome::Refunded) && modification.amount.is_none() {
            modification.amount = Some(payment.amount.clone());
        }
        if result.is_ok() {
            store.put_payment(payment);
        }
    }
    store.put_modification(modification);
}

/// The payment that is meant: by the merchant's reference, the newest one that can be cancelled.
fn find(store: &Store, modification: &Modification) -> Option<Payment> {
    if let Some(id) = &modification.payment {
        return store.payments.get(id).cloned();
    }
    let is_meant = |payment: &&Payment| {
        payment.merchant_account == modification.merchant_account && payment.reference == modification.payment_reference
    };
    let meant = || store.payments.iter().rev().filter(is_meant);
    meant().find(|payment| payment.status == Status::Authorised).or_else(|| meant().next()).cloned()
}

/// Does what `modification` asks for, if `payment` allows it.
fn apply(modification: &Modification, payment: &mut Payment, context: &Context<'_>) -> Result<Outcome, &'static str> {
    let amount = modification.amount.as_ref().unwrap_or(&payment.amount).clone();
    if amount.currency != payment.amount.currency {
        return Err(OTHER_CURRENCY);
    }
    match (modification.act, payment.status) {
        (Act::Capture, Status::Authorised) if amount.value > payment.amount.value => Err(INSUFFICIENT),
        (Act::Capture, Status::Captured) => Err(INSUFFICIENT),
        (Act::Capture, _) => {
            advance(payment, Event::Captured, context).map_err(|_| NOT_AUTHORISED)?;
            payment.captured = amount.value;
            Ok(Outcome::Captured)
        }
        (Act::Refund | Act::Reverse, Status::Captured) => {
            if amount.value > payment.captured - payment.refunded {
                return Err(INSUFFICIENT);
            }
            payment.refunded += amount.value;
            payment.updated_at_ms = context.now_ms;
            Ok(Outcome::Refunded)
        }
        (Act::Refund, _) => Err(NOT_CAPTURED),
        (Act::Cancel | Act::TechnicalCancel, Status::Captured) => Err(CAPTURED),
        (Act::Cancel | Act::TechnicalCancel | Act::Reverse, _) => {
            advance(payment, Event::Cancelled, context).map_err(|_| NOT_AUTHORISED)?;
            Ok(Outcome::Cancelled)
        }
    }
}

/// Money that was given back comes back: it can be given back again.
pub(super) fn fail_refund(store: &mut Store, id: &str, context: &mut Context<'_>) {
    let Some(mut modification) = store.modifications.get(id).cloned() else { return };
    let payment = modification.payment.as_ref().and_then(|id| store.payments.get(id)).cloned();
    let (Some(mut payment), Outcome::Refunded) = (payment, modification.outcome) else { return };
    payment.refunded -= modification.amount.as_ref().map_or(0, |amount| amount.value);
    payment.updated_at_ms = context.now_ms;
    modification.outcome = Outcome::Reversed;
    context.events.push(notification::Event::refund_failed(&modification, &payment));
    store.put_payment(payment);
    store.put_modification(modification);
}
