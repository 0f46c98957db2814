//! Payment intents: made, confirmed, challenged, captured, canceled.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Context;
use crate::edge;
use crate::faults::Kind;
use crate::stripe::call::{Capture, Confirmation, NewIntent};
use crate::stripe::cards::{self, Verdict};
use crate::stripe::error::ApiError;
use crate::stripe::objects::{CancellationReason, CaptureMethod, Charge, Failure, Intent, Metadata, Redirects};
use crate::stripe::render;
use crate::stripe::status::{Event, Status};
use crate::stripe::store::Store;

/// A copy of the payment intent with this id, to be changed and put back.
pub(super) fn find(store: &Store, id: &str) -> Result<Intent, ApiError> {
    store.intents.get(id).cloned().ok_or_else(|| ApiError::missing(404, "payment_intent", id, "intent"))
}

/// Makes a payment intent, and confirms it where that is asked for.
pub(super) fn create(store: &mut Store, new: NewIntent, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let confirmation = new.confirmation;
    if confirmation.is_some() && new.payment_method.is_none() {
        return Err(ApiError::invalid(MISSING_METHOD).code("parameter_missing"));
    }
    let id = edge::random_id("pi_3", 23);
    let kind = if confirmation.is_some() { Kind::Charge } else { Kind::Create };
    let mut intent = Intent {
        client_secret: edge::random_id(&format!("{id}_secret_"), 25),
        id,
        status: Status::RequiresPaymentMethod,
        amount: new.amount,
        amount_received: 0,
        currency: new.currency,
        capture_method: new.capture_method,
        confirmation_method: new.confirmation_method,
        automatic: new.automatic,
        payment_method_types: new.payment_method_types,
        payment_method: new.payment_method,
        customer: new.customer,
        description: new.description,
        receipt_email: new.receipt_email,
        setup_future_usage: new.setup_future_usage,
        statement_descriptor: new.statement_descriptor,
        statement_descriptor_suffix: new.statement_descriptor_suffix,
        metadata: new.metadata,
        charges: Vec::new(),
        last_error: None,
        next_action: None,
        cancellation_reason: None,
        canceled_at_ms: None,
        created_at_ms: context.now_ms,
        updated_at_ms: context.now_ms,
        asked: BTreeMap::new(),
    };
    if intent.payment_method.is_some() {
        advance(&mut intent, Event::MethodAttached)?;
    }
    if let Some(how) = &confirmation {
        check_return_url(&intent, how)?;
    }
    let asked = store.asked_so_far(context.key);
    intent.asked.entry(kind).or_default().note(asked, context.key);
    context.reference = Some(intent.id.clone());
    match confirmation {
        Some(how) => charge(store, intent, &how, context),
        None => Ok(keep(store, intent)),
    }
}

/// Confirms a payment intent: this is where money moves.
pub(super) fn confirm(
    store: &mut Store,
    id: &str,
    how: Confirmation,
    context: &mut Context<'_>,
) -> Result<Value, ApiError> {
    let mut intent = find(store, id)?;
    context.reference = Some(intent.id.clone());
    let before = render::intent(&intent);
    let attached = intent.status.on(Event::MethodAttached);
    let Ok(status) = attached else {
        return Err(ApiError::unexpected_state(cannot_confirm(intent.status), before));
    };
    if how.payment_method.is_none() && intent.payment_method.is_none() {
        return Err(ApiError::unexpected_state(MISSING_METHOD, before));
    }
    check_return_url(&intent, &how)?;
    intent.status = status;
    intent.updated_at_ms = context.now_ms;
    intent.payment_method = how.payment_method.clone().or(intent.payment_method);
    intent.receipt_email = how.receipt_email.clone().or(intent.receipt_email);
    intent.setup_future_usage = how.setup_future_usage.or(intent.setup_future_usage);
    intent.capture_method = how.capture_method.unwrap_or(intent.capture_method);
    charge(store, intent, &how, context)
}

/// Ends a payment intent: nothing can be charged on it any more.
pub(super) fn cancel(
    store: &mut Store,
    id: &str,
    reason: Option<CancellationReason>,
    context: &mut Context<'_>,
) -> Result<Value, ApiError> {
    let mut intent = find(store, id)?;
    context.reference = Some(intent.id.clone());
    if let Some(failure) = context.forced_failure.take() {
        return Err(ApiError::refused(&failure));
    }
    let Ok(status) = intent.status.on(Event::Canceled) else {
        let message = format!(
            "You cannot cancel this PaymentIntent because it has a status of {}. Only a \
             PaymentIntent with one of the following statuses may be canceled: {}.",
            intent.status.name(),
            Status::names_before(Event::Canceled)
        );
        return Err(ApiError::unexpected_state(message, render::intent(&intent)));
    };
    if intent.status == Status::RequiresCapture {
        let mut charge = last_charge(store, &intent)?;
        charge.is_released = true;
        store.put_charge(charge);
    }
    intent.status = status;
    intent.next_action = None;
    intent.cancellation_reason = reason;
    intent.canceled_at_ms = Some(context.now_ms);
    intent.updated_at_ms = context.now_ms;
    let answer = keep(store, intent);
    context.emit("payment_intent.canceled", answer.clone());
    Ok(answer)
}

/// Takes money that was authorized, all of it or a part; the rest is let go.
pub(super) fn capture(store: &mut Store, id: &str, how: Capture, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let mut intent = find(store, id)?;
    context.reference = Some(intent.id.clone());
    if intent.status != Status::RequiresCapture {
        let message = format!(
            "This PaymentIntent could not be captured because it has a status of {}. Only a \
             PaymentIntent with one of the following statuses may be captured: requires_capture.",
            intent.status.name()
        );
        return Err(ApiError::unexpected_state(message, render::intent(&intent)));
    }
    let amount = how.amount.unwrap_or(intent.amount);
    if amount > intent.amount {
        let message = format!(
            "The amount_to_capture ({amount}) is greater than the amount that can be captured ({}).",
            intent.amount
        );
        return Err(ApiError::invalid(message).code("amount_too_large").param("amount_to_capture"));
    }
    if let Some(failure) = context.forced_failure.take() {
        return Err(ApiError::refused(&failure));
    }
    let mut charge = last_charge(store, &intent)?;
    charge.amount_captured = amount;
    store.put_charge(charge);
    intent.metadata.extend(how.metadata);
    intent.amount_received = amount;
    intent.updated_at_ms = context.now_ms;
    advance(&mut intent, Event::Paid)?;
    let answer = keep(store, intent);
    context.emit("payment_intent.succeeded", answer.clone());
    Ok(answer)
}

/// How the buyer leaves a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Passed,
    Failed,
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

const MISSING_METHOD: &str = "You cannot confirm this PaymentIntent because it's missing a payment \
     method. You can either update the PaymentIntent with a payment method and then confirm it \
     again, or confirm it again directly with a payment method or ConfirmationToken.";

fn cannot_confirm(status: Status) -> String {
    if status == Status::Succeeded {
        return "You cannot confirm this PaymentIntent because it has already succeeded after being \
                previously confirmed."
            .to_owned();
    }
    format!(
        "You cannot confirm this PaymentIntent because it has a status of {}. Only a PaymentIntent \
         with one of the following statuses may be confirmed: {}.",
        status.name(),
        Status::names_before(Event::MethodAttached)
    )
}

/// What Stripe chooses by itself may redirect the buyer, who must then have a way back.
fn check_return_url(intent: &Intent, how: &Confirmation) -> Result<(), ApiError> {
    if intent.automatic != Some(Redirects::Always) || how.return_url.is_some() {
        return Ok(());
    }
    Err(ApiError::invalid(
        "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. \
         Because some of these payment methods might redirect your customer off of your page, you \
         must provide a `return_url`. If you don't want to accept redirect-based payment methods, \
         set `automatic_payment_methods[enabled]` to `true` and \
         `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and \
         Payment Intents.",
    ))
}

/// Asks the issuer.
fn charge(
    store: &mut Store,
    mut intent: Intent,
    how: &Confirmation,
    context: &mut Context<'_>,
) -> Result<Value, ApiError> {
    let method = intent.payment_method.clone().unwrap_or_default();
    let verdict = match context.forced_failure.take() {
        Some(failure) => Verdict::Declined(failure),
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

fn last_charge(store: &Store, intent: &Intent) -> Result<Charge, ApiError> {
    let id = intent.charges.last();
    id.and_then(|id| store.charges.get(id)).cloned().ok_or_else(ApiError::broken)
}

/// Moves along the table. What it refuses was to be refused before with a message of its own.
fn advance(intent: &mut Intent, event: Event) -> Result<(), ApiError> {
    intent.status = intent.status.on(event).map_err(|error| {
        tracing::error!(intent.id = %intent.id, error = %error, "the sandbox made an illegal move");
        ApiError::broken()
    })?;
    Ok(())
}

fn keep(store: &mut Store, intent: Intent) -> Value {
    let answer = render::intent(&intent);
    store.put_intent(intent);
    answer
}
