//! Calls, carried out on the store. Nothing here waits: one call is one change.

mod intents;
mod issuer;
mod lists;
mod refunds;

use serde_json::Value;

use super::call::{Call, Request};
use super::error::ApiError;
use super::objects::Failure;
use super::render;
use super::store::Store;

pub(crate) use issuer::{Challenge, finish_challenge};

/// What a call is carried out with, and what it leaves besides its answer.
pub(crate) struct Context<'a> {
    pub(crate) now_ms: i64,
    pub(crate) key: Option<&'a str>,
    /// Where the gateway is reached, for links in answers.
    pub(crate) base_url: &'a str,
    /// A decline that a fault asks for.
    pub(crate) forced_failure: Option<Failure>,
    /// The object that the call made or changed.
    pub(crate) reference: Option<String>,
    pub(crate) events: Vec<Event>,
}

/// Something that webhooks tell.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

impl Context<'_> {
    fn emit(&mut self, kind: &'static str, object: Value) {
        self.events.push(Event { kind, object });
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
