//! Payment intents: made, confirmed, captured, canceled.

use std::collections::BTreeMap;

use serde_json::Value;

use super::issuer::charge;
use super::{Context, forced_failure};
use crate::edge;
use crate::faults::Kind;
use crate::stripe::call::{Capture, Confirmation, NewIntent};
use crate::stripe::error::ApiError;
use crate::stripe::objects::{CancellationReason, Charge, Intent, Redirects};
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
    intent.asked.entry(kind).or_default().note(context.asked, context.key);
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
    if let Some(failure) = forced_failure(context) {
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
    if let Some(failure) = forced_failure(context) {
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

fn last_charge(store: &Store, intent: &Intent) -> Result<Charge, ApiError> {
    let id = intent.charges.last();
    id.and_then(|id| store.charges.get(id)).cloned().ok_or_else(ApiError::broken)
}

/// Moves along the table. What it refuses was to be refused before with a message of its own.
pub(super) fn advance(intent: &mut Intent, event: Event) -> Result<(), ApiError> {
    intent.status = intent.status.on(event).map_err(|error| {
        tracing::error!(intent.id = %intent.id, error = %error, "the sandbox made an illegal move");
        ApiError::broken()
    })?;
    Ok(())
}

/// Puts a payment intent back, as it is answered.
pub(super) fn keep(store: &mut Store, intent: Intent) -> Value {
    let answer = render::intent(&intent);
    store.put_intent(intent);
    answer
}
