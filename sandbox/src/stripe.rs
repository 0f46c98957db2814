//! A gateway that speaks Stripe's API.
//!
//! Who asks is in `http`, what is asked in `form`, `params` and `call`, what becomes of it in
//! `execute`.

pub(crate) mod cards;
pub(crate) mod challenge;
pub(crate) mod http;
pub(crate) mod signature;

mod answer;
mod call;
mod execute;
mod report;
mod view;

mod objects;
mod status;
mod store;

mod currencies;
mod error;
mod form;
mod params;
mod render;

use serde_json::json;

use self::answer::{answer, new_request_id};
use self::call::Request;
use self::error::ApiError;
use self::execute::Event;
use self::store::{Effect, Store};
use crate::answer::Answer;
use crate::books::Books;
use crate::edge;
use crate::faults::Kind;
use crate::gateway::{self, Dispute, Protocol, Refusal, Told};
use crate::settlement::Mistakes;

/// The version of Stripe's API that objects and events have the shape of.
const API_VERSION: &str = "2025-03-31.basil";

/// Stripe's API.
pub(crate) struct Stripe;

/// What a call to Stripe is carried out with.
type Context<'a> = gateway::Context<'a, Stripe>;

impl Protocol for Stripe {
    type Objects = Store;
    type Call = Request;
    type Event = Event;

    /// Stripe promises at least a day.
    const KEY_TTL_MS: i64 = 24 * 60 * 60 * 1000;

    fn kind(request: &Request) -> Kind {
        request.call.kind()
    }

    fn reference(request: &Request) -> Option<&str> {
        request.call.intent()
    }

    fn execute(store: &mut Store, request: Request, context: &mut Context<'_>) -> Answer {
        answer(execute::execute(store, request, context))
    }

    fn happen(store: &mut Store, effect: Effect, context: &mut Context<'_>) {
        execute::happen(store, effect, context);
    }

    fn dispute(store: &Store, payment: &str, dispute: Dispute, context: &mut Context<'_>) -> bool {
        execute::dispute(store, payment, dispute, context)
    }

    fn refuse(refusal: Refusal<'_>) -> Answer {
        answer(Err(ApiError::from(refusal)))
    }

    fn new_request_id() -> String {
        new_request_id()
    }

    fn body(event: Event, told: &Told<'_>) -> String {
        let body = json!({
            "id": edge::random_id("evt_3", 23),
            "object": "event",
            "api_version": API_VERSION,
            "created": told.at_ms / 1000,
            "data": {"object": event.object},
            "livemode": false,
            "pending_webhooks": 1,
            "request": {"id": told.request_id, "idempotency_key": told.key},
            "type": event.kind,
        });
        format!("{body:#}")
    }

    fn books(store: &Store) -> Books {
        view::books(store)
    }

    fn settlement(store: &Store, mistakes: &Mistakes) -> String {
        report::csv(store, mistakes)
    }
}
