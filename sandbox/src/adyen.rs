//! A gateway that speaks Adyen's Checkout API, version 71.
//!
//! Who asks is in `http`, what is asked in `call` and `members`, what becomes of it in `execute`.
//! A payment is answered with what the issuer said; everything else is answered with «received»,
//! decided afterwards, and told by a signed webhook. There is no reading: whoever has lost an answer
//! asks again with the same key, or waits for the webhook.

pub(crate) mod challenge;
pub(crate) mod http;
pub(crate) mod signature;

mod call;
mod execute;
mod notification;
mod report;
mod view;

mod objects;
mod status;
mod store;

mod cards;
mod currencies;
mod error;
mod members;

use serde_json::Value;

use self::call::Call;
use self::error::ApiError;
use self::notification::Event;
use self::store::{Effect, Store};
use crate::answer::Answer;
use crate::books::Books;
use crate::edge;
use crate::faults::Kind;
use crate::gateway::{self, Dispute, Protocol, Refusal, Told};
use crate::settlement::Mistakes;

/// Adyen's Checkout API.
pub(crate) struct Adyen;

/// What a call to Adyen is carried out with.
type Context<'a> = gateway::Context<'a, Adyen>;

impl Protocol for Adyen {
    type Objects = Store;
    type Call = Call;
    type Event = Event;

    /// Adyen promises at least 31 days.
    const KEY_TTL_MS: i64 = 31 * 24 * 60 * 60 * 1000;

    fn kind(call: &Call) -> Kind {
        call.kind()
    }

    /// A call makes an object of its own, whatever payment it is about.
    fn reference(_: &Call) -> Option<&str> {
        None
    }

    fn execute(store: &mut Store, call: Call, context: &mut Context<'_>) -> Answer {
        let status = call.success_status();
        answer(execute::execute(store, call, context).map(|body| (status, body)))
    }

    fn happen(store: &mut Store, effect: Effect, context: &mut Context<'_>) {
        execute::happen(store, effect, context);
    }

    fn dispute(store: &Store, payment: &str, dispute: Dispute, context: &mut Context<'_>) -> bool {
        let paid = store.payments.get(payment).filter(|payment| payment.captured > 0);
        context.events.extend(paid.map(|payment| Event::disputed(payment, dispute)));
        paid.is_some()
    }

    fn refuse(refusal: Refusal<'_>) -> Answer {
        answer(Err(ApiError::from(refusal)))
    }

    fn new_request_id() -> String {
        new_psp_reference()
    }

    fn body(event: Event, told: &Told<'_>) -> String {
        notification::body(&event, told)
    }

    fn books(store: &Store) -> Books {
        view::books(store)
    }

    fn settlement(store: &Store, mistakes: &Mistakes) -> String {
        report::csv(store, mistakes)
    }
}

/// The answer that `result` makes.
fn answer(result: Result<(u16, Value), ApiError>) -> Answer {
    match result {
        Ok((status, body)) => {
            let named = body["pspReference"].as_str().map(str::to_owned);
            Answer::new(status, body.to_string(), named.unwrap_or_else(new_psp_reference))
        }
        Err(error) => {
            let psp_reference = new_psp_reference();
            let body = error.body(&psp_reference).to_string();
            Answer {
                should_retry: Some(error.is_transient),
                // What is transient is not remembered: the same key makes the same call again.
                sticks: !error.is_transient,
                ..Answer::new(error.status, body, psp_reference)
            }
        }
    }
}

/// Adyen's name for a payment, a modification or a request: 16 letters and digits.
fn new_psp_reference() -> String {
    edge::random_id("", 16).to_uppercase()
}
