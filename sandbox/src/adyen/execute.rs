//! Calls, carried out on the store, and what happens after them. Nothing here waits.

mod modifications;
mod payments;
mod settle;

use serde_json::Value;

use super::Context;
use super::call::Call;
use super::error::ApiError;
use super::store::{Effect, Store};

pub(super) use self::payments::finish_challenge;

/// Carries `call` out.
pub(super) fn execute(store: &mut Store, call: Call, context: &mut Context<'_>) -> Result<Value, ApiError> {
    match call {
        Call::Pay(new) => payments::pay(store, *new, context),
        Call::Complete { redirect_result } => payments::complete(store, &redirect_result, context),
        Call::Modify(new) => modifications::receive(store, new, context),
    }
}

/// Carries out what was to happen later. What it is about may have changed since; then it does
/// nothing.
pub(super) fn happen(store: &mut Store, effect: Effect, context: &mut Context<'_>) {
    match effect {
        Effect::Decide { payment } => payments::decide(store, &payment, context),
        Effect::Capture { payment } => payments::capture_by_itself(store, &payment, context),
        Effect::Settle { modification, is_refused, fails_after_ms } => {
            settle::settle(store, &modification, is_refused, fails_after_ms, context);
        }
        Effect::FailRefund { modification } => settle::fail_refund(store, &modification, context),
    }
}
