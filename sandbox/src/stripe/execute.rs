//! Calls, carried out on the store. Nothing here waits: one call is one change.

mod disputes;
mod intents;
mod issuer;
mod lists;
mod refunds;

use serde_json::Value;

use super::call::{Call, Request};
use super::error::ApiError;
use super::objects::Failure;
use super::store::{Effect, Store};
use super::{cards, render};
use crate::faults::Fault;

use super::Context;
pub(crate) use disputes::dispute;
pub(crate) use issuer::finish_challenge;

/// Something that webhooks tell.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

impl Context<'_> {
    /// Lets the merchant know.
    fn emit(&mut self, kind: &'static str, object: Value) {
        self.events.push(Event { kind, object });
    }
}

/// A decline that a fault asks for.
fn forced_failure(context: &mut Context<'_>) -> Option<Failure> {
    let hit = context.take_outcome(&[Fault::Decline, Fault::InsufficientFunds])?;
    Some(if hit.fault == Fault::Decline { cards::generic_decline() } else { cards::insufficient_funds() })
}

/// Carries out what was to happen later. What it is about may have changed since.
pub(super) fn happen(store: &mut Store, effect: Effect, context: &mut Context<'_>) {
    let result = match effect {
        Effect::Decide { intent } => issuer::decide(store, &intent, context),
        Effect::SucceedRefund { refund } => {
            refunds::succeed(store, &refund, context);
            Ok(())
        }
        Effect::FailRefund { refund } => {
            refunds::fail(store, &refund, context);
            Ok(())
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %error.body(), "what was to happen later is refused");
    }
}

/// Carries `request` out.
pub(crate) fn execute(store: &mut Store, request: Request, context: &mut Context<'_>) -> Result<Value, ApiError> {
    let mut answer = match request.call {
        Call::CreateIntent(new) => intents::create(store, *new, context),
        Call::RetrieveIntent(id) => intents::find(store, &id).map(|found| render::intent(&found)),
        Call::ListIntents(page) => lists::intents(store, &page),
        Call::ConfirmIntent(id, how) => intents::confirm(store, &id, how, context),
        Call::CancelIntent(id, reason) => intents::cancel(store, &id, reason, context),
        Call::CaptureIntent(id, how) => intents::capture(store, &id, how, context),
        Call::RetrieveCharge(id) => {
            let found = store.charges.get(&id);
            let missing = || ApiError::missing(404, "charge", &id, "id");
            found.map(render::charge).ok_or_else(missing)
        }
        Call::CreateRefund(new) => refunds::create(store, new, context),
        Call::RetrieveRefund(id) => {
            let found = store.refunds.get(&id);
            let missing = || ApiError::missing(404, "refund", &id, "id");
            found.map(render::refund).ok_or_else(missing)
        }
        Call::ListRefunds(filter, page) => lists::refunds(store, &filter, &page),
    }?;
    render::expand(&mut answer, &request.expand, store);
    Ok(answer)
}
