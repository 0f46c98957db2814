//! The card's issuer: asked for money, it approves, declines, or wants to hear from the buyer.

use serde_json::{Value, json};

use super::intents::{advance, find, keep};
use super::{Context, forced_failure};
use crate::control::Challenge;
use crate::edge;
use crate::faults::Fault;
use crate::stripe::call::Confirmation;
use crate::stripe::cards::{self, Verdict};
use crate::stripe::error::ApiError;
use crate::stripe::objects::{CaptureMethod, Charge, Failure, Intent, Metadata};
use crate::stripe::render;
use crate::stripe::status::{Event, Status};
use crate::stripe::store::{Effect, Store};

/// Asks the issuer.
pub(super) fn charge(
    store: &mut Store,
    mut intent: Intent,
    how: &Confirmation,
    context: &mut Context<'_>,
) -> Result<Value, ApiError> {
    let method = intent.payment_method.clone().unwrap_or_default();
    if let Some(hit) = context.take_outcome(&[Fault::Async]) {
        advance(&mut intent, Event::Delayed)?;
        let effect = Effect::Decide { intent: intent.id.clone() };
        context.late.push((context.now_ms + hit.delay_ms(), context.kind, effect));
        let answer = keep(store, intent);
        context.emit("payment_intent.processing", answer.clone());
        return Ok(answer);
    }
    let verdict = match forced_failure(context) {
        Some(failure) => Verdict::Declined(failure),
        None if context.take_outcome(&[Fault::ActionRequired]).is_some() => Verdict::Challenged,
        None => cards::verdict(&method),
    };
    match verdict {
        Verdict::Challenged if how.is_off_session || how.fails_on_action => {
            let failure = cards::authentication_required();
            settle(store, intent, Verdict::Declined(failure), context)
        }
        Verdict::Challenged => {
            advance(&mut intent, Event::Challenged)?;
            intent.next_action = Some(next_action(&intent, how, context));
            Ok(keep(store, intent))
        }
        decided => settle(store, intent, decided, context),
    }
}

/// The issuer decides on what is processing.
pub(super) fn decide(store: &mut Store, id: &str, context: &mut Context<'_>) -> Result<(), ApiError> {
    let intent = find(store, id)?;
    let method = intent.payment_method.clone().unwrap_or_default();
    let verdict = match cards::verdict(&method) {
        Verdict::Challenged => Verdict::Declined(cards::authentication_required()),
        verdict => verdict,
    };
    // A decline is an error to who asked, but here nobody has.
    let _ = settle(store, intent, verdict, context);
    Ok(())
}

fn next_action(intent: &Intent, how: &Confirmation, context: &Context<'_>) -> Value {
    let url = format!("{}/_sandbox/challenges/{}", context.base_url, intent.id);
    match &how.return_url {
        Some(return_url) => json!({
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": url},
        }),
        None => json!({
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url},
        }),
    }
}

/// Writes down what the issuer said: an attempt, and what it means for the payment intent.
fn settle(
    store: &mut Store,
    mut intent: Intent,
    verdict: Verdict,
    context: &mut Context<'_>,
) -> Result<Value, ApiError> {
    let method = intent.payment_method.clone().unwrap_or_default();
    let mut attempt = attempt(&intent, &method, context.now_ms);
    intent.charges.push(attempt.id.clone());
    intent.next_action = None;
    intent.updated_at_ms = context.now_ms;
    let Verdict::Declined(mut failure) = verdict else {
        intent.last_error = None;
        if intent.capture_method == CaptureMethod::Manual {
            advance(&mut intent, Event::Authorized)?;
            store.put_charge(attempt);
            return Ok(keep(store, intent));
        }
        advance(&mut intent, Event::Paid)?;
        intent.amount_received = intent.amount;
        attempt.amount_captured = intent.amount;
        store.put_charge(attempt);
        let answer = keep(store, intent);
        context.emit("payment_intent.succeeded", answer.clone());
        return Ok(answer);
    };
    advance(&mut intent, Event::Declined)?;
    failure.charge = Some(attempt.id.clone());
    failure.payment_method = Some(method.clone());
    attempt.failure = Some(Failure::clone(&failure));
    store.put_charge(attempt);
    intent.payment_method = None;
    intent.last_error = Some(failure.clone());
    let object = keep(store, intent);
    context.emit("payment_intent.payment_failed", object.clone());
    Err(ApiError::declined(&failure, render::payment_method(&method), object))
}

fn attempt(intent: &Intent, method: &str, now_ms: i64) -> Charge {
    Charge {
        id: edge::random_id("ch_3", 23),
        intent: intent.id.clone(),
        amount: intent.amount,
        amount_captured: 0,
        amount_refunded: 0,
        is_released: false,
        currency: intent.currency.clone(),
        payment_method: method.to_owned(),
        failure: None,
        description: intent.description.clone(),
        metadata: Metadata::clone(&intent.metadata),
        refunds: Vec::new(),
        created_at_ms: now_ms,
    }
}

/// The buyer has answered a challenge. Where they go back to, if there is such a place.
pub(crate) fn finish_challenge(
    store: &mut Store,
    id: &str,
    outcome: Challenge,
    context: &mut Context<'_>,
) -> Result<Option<String>, ApiError> {
    let intent = find(store, id)?;
    if intent.status != Status::RequiresAction {
        let message = "This PaymentIntent is not waiting for an action.";
        return Err(ApiError::unexpected_state(message, render::intent(&intent)));
    }
    let return_url = intent
        .next_action
        .as_ref()
        .and_then(|action| action["redirect_to_url"]["return_url"].as_str())
        .map(str::to_owned);
    let secret = intent.client_secret.clone();
    let method = intent.payment_method.clone().unwrap_or_default();
    let verdict = match outcome {
        Challenge::Passed => cards::verdict_after_challenge(&method),
        Challenge::Failed => Verdict::Declined(cards::authentication_failed()),
    };
    let is_declined = settle(store, intent, verdict, context).is_err();
    let status = if is_declined { "failed" } else { "succeeded" };
    Ok(return_url.map(|url| {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!(
            "{url}{separator}payment_intent={id}&payment_intent_client_secret={secret}\
             &redirect_status={status}"
        )
    }))
}
