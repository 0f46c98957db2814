//! Payments: made, completed, decided.

use serde_json::{Value, json};

use super::Context;
use crate::adyen::call::NewPayment;
use crate::adyen::cards::{self, Refusal, Verdict};
use crate::adyen::error::ApiError;
use crate::adyen::new_psp_reference;
use crate::adyen::notification;
use crate::adyen::objects::{CaptureMode, Payment, Redirect};
use crate::adyen::status::{Event, Status};
use crate::adyen::store::{Effect, Store};
use crate::control::Challenge;
use crate::edge;
use crate::faults::Fault;
use crate::shelf::Asked;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Makes a payment: this is where money moves.
pub(super) fn pay(store: &mut Store, new: NewPayment, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let mut asked = Asked::default();
    asked.note(context.asked, context.key);
    let mut payment = Payment {
        psp_reference: new_psp_reference(),
        merchant_account: new.merchant_account,
        reference: new.reference,
        amount: new.amount,
        method: new.method,
        status: Status::Received,
        capture_mode: new.capture_mode,
        captured: 0,
        refunded: 0,
        refusal: None,
        return_url: new.return_url,
        redirect: None,
        metadata: new.metadata,
        created_at_ms: context.now_ms,
        updated_at_ms: context.now_ms,
        asked,
    };
    context.reference = Some(payment.psp_reference.clone());
    if let Some(hit) = context.take_outcome(&[Fault::Async]) {
        let effect = Effect::Decide { payment: payment.psp_reference.clone() };
        context.late.push((context.now_ms + hit.delay_ms(), context.kind, effect));
        advance(&mut payment, Event::Delayed, context)?;
    } else {
        match verdict(&payment.method, context) {
            Verdict::Authorised => conclude(&mut payment, Ok(()), context)?,
            Verdict::Refused(refusal) => conclude(&mut payment, Err(refusal), context)?,
            Verdict::Redirected { needs_details } => {
                payment.redirect = Some(Redirect { needs_details, result: None });
                advance(&mut payment, Event::Redirected, context)?;
            }
            Verdict::Pending => advance(&mut payment, Event::Delayed, context)?,
            Verdict::Received => {}
        }
    }
    let answer = render(&payment, context.base_url);
    store.put_payment(payment);
    Ok(answer)
}

/// What the issuer says, unless a fault says it.
fn verdict(method: &str, context: &mut Context<'_>) -> Verdict {
    match context.outcome.take().map(|hit| hit.fault) {
        Some(Fault::Decline) => Verdict::Refused(cards::REFUSED),
        Some(Fault::InsufficientFunds) => Verdict::Refused(cards::NOT_ENOUGH_BALANCE),
        Some(Fault::ActionRequired) => Verdict::Redirected { needs_details: false },
        _ => cards::verdict(method),
    }
}

/// The buyer came back, and the merchant says what with.
pub(super) fn complete(store: &mut Store, result: &str, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let brought = |payment: &&Payment| {
        let redirect = payment.redirect.as_ref().and_then(|redirect| redirect.result.as_ref());
        redirect.is_some_and(|(known, _)| known == result)
    };
    let found = store.payments.iter().find(brought).cloned();
    let mut payment = found.ok_or_else(|| ApiError::invalid("702", "Invalid payload provided"))?;
    context.reference = Some(payment.psp_reference.clone());
    if payment.status == Status::Redirected {
        after_challenge(&mut payment, context)?;
        store.put_payment(payment.clone());
    }
    Ok(render(&payment, context.base_url))
}

/// The buyer has answered a challenge. Where they go back to, and with what.
pub(crate) fn finish_challenge(
    store: &mut Store,
    id: &str,
    outcome: Challenge,
    context: &mut Context<'_>,
) -> Result<String, ApiError> {
    let mut payment = store.payments.get(id).cloned().ok_or_else(ApiError::unknown_payment)?;
    let Some(redirect) = payment.redirect.as_mut().filter(|_| payment.status == Status::Redirected) else {
        return Err(ApiError::invalid("702", "The payment is not waiting for the shopper"));
    };
    let result = edge::random_id("", 32);
    redirect.result = Some((result.clone(), outcome == Challenge::Passed));
    if !redirect.needs_details {
        after_challenge(&mut payment, context)?;
    }
    let url = &payment.return_url;
    let separator = if url.contains('?') { '&' } else { '?' };
    let back = format!("{url}{separator}redirectResult={result}");
    store.put_payment(payment);
    Ok(back)
}

/// The issuer decides, now that the buyer was there.
fn after_challenge(payment: &mut Payment, context: &mut Context<'_>) -> Result<(), ApiError> {
    let redirect = payment.redirect.as_ref().and_then(|redirect| redirect.result.as_ref());
    let has_passed = redirect.is_some_and(|(_, has_passed)| *has_passed);
    let verdict = match context.outcome.take().map(|hit| hit.fault) {
        Some(Fault::Decline) => Err(cards::REFUSED),
        Some(Fault::InsufficientFunds) => Err(cards::NOT_ENOUGH_BALANCE),
        _ if has_passed => cards::verdict_after_challenge(&payment.method),
        _ => Err(cards::NOT_AUTHENTICATED),
    };
    conclude(payment, verdict, context)
}

/// The issuer decides on a payment that was pending.
pub(super) fn decide(store: &mut Store, id: &str, context: &mut Context<'_>) {
    let Some(mut payment) = store.payments.get(id).cloned() else { return };
    let verdict = cards::final_verdict(&payment.method);
    if conclude(&mut payment, verdict, context).is_ok() {
        store.put_payment(payment);
    }
}

/// Takes the money of a payment whose delay is over, unless it was cancelled.
pub(super) fn capture_by_itself(store: &mut Store, id: &str, context: &mut Context<'_>) {
    let Some(mut payment) = store.payments.get(id).cloned() else { return };
    if payment.status != Status::Authorised {
        return;
    }
    if advance(&mut payment, Event::Captured, context).is_ok() {
        payment.captured = payment.amount.value;
        store.put_payment(payment);
    }
}

/// Writes down what the issuer said, and tells it.
fn conclude(payment: &mut Payment, verdict: Result<(), Refusal>, context: &mut Context<'_>) -> Result<(), ApiError> {
    match verdict {
        Ok(()) => {
            advance(payment, Event::Authorised, context)?;
            match payment.capture_mode {
                CaptureMode::Immediate => {
                    advance(payment, Event::Captured, context)?;
                    payment.captured = payment.amount.value;
                }
                CaptureMode::Delayed { hours } => {
                    let effect = Effect::Capture { payment: payment.psp_reference.clone() };
                    context.late.push((context.now_ms + hours * HOUR_MS, context.kind, effect));
                }
                CaptureMode::Manual => {}
            }
        }
        Err(refusal) => {
            advance(payment, Event::Refused, context)?;
            payment.refusal = Some(refusal.code);
        }
    }
    let refusal = verdict.err().map(|refusal| refusal.reason);
    context.events.push(notification::Event::authorisation(payment, refusal));
    Ok(())
}

/// Moves along the table.
pub(super) fn advance(payment: &mut Payment, event: Event, context: &Context<'_>) -> Result<(), ApiError> {
    payment.status = payment.status.on(event).map_err(|error| {
        tracing::debug!(psp_reference = %payment.psp_reference, error = %error, "a move that is not possible");
        ApiError::invalid("702", error.to_string())
    })?;
    payment.updated_at_ms = context.now_ms;
    Ok(())
}

/// `PaymentResponse`
fn render(payment: &Payment, base_url: &str) -> Value {
    let refusal = payment.refusal.and_then(cards::refusal);
    let result_code = refusal.map_or_else(|| payment.status.result_code(), Refusal::result_code);
    let mut answer = json!({"pspReference": payment.psp_reference, "resultCode": result_code});
    if payment.status == Status::Redirected {
        answer["action"] = json!({
            "method": "GET",
            "paymentMethodType": "scheme",
            "type": "redirect",
            "url": format!("{base_url}/_sandbox/challenges/{}", payment.psp_reference),
        });
        return answer;
    }
    answer["amount"] = json!(payment.amount);
    answer["merchantReference"] = json!(payment.reference);
    answer["paymentMethod"] = json!({"brand": "visa", "type": "scheme"});
    if let Some(refusal) = refusal {
        answer["refusalReason"] = json!(refusal.reason);
        answer["refusalReasonCode"] = json!(refusal.code.to_string());
    }
    answer
}
