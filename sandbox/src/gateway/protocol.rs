//! What a protocol adds to a gateway.

use serde::Deserialize;

use crate::answer::Answer;
use crate::books::Books;
use crate::faults::{Fault, Hit, Kind};
use crate::settlement::Mistakes;
use crate::store::Objects;

/// A protocol that a gateway speaks.
pub(crate) trait Protocol: Sized + Send + Sync + 'static {
    /// What it remembers.
    type Objects: Objects;
    /// What can be asked of it.
    type Call: Send;
    /// Something that it tells by webhook.
    type Event: Send;

    /// How long an idempotency key is remembered.
    const KEY_TTL_MS: i64;

    /// What a call is about.
    fn kind(call: &Self::Call) -> Kind;
    /// The object that a call names.
    fn reference(call: &Self::Call) -> Option<&str>;
    /// Carries a call out. Nothing here waits: one call is one change.
    fn execute(objects: &mut Self::Objects, call: Self::Call, context: &mut Context<'_, Self>) -> Answer;
    /// Carries out what was to happen later.
    fn happen(objects: &mut Self::Objects, effect: <Self::Objects as Objects>::Effect, context: &mut Context<'_, Self>);
    /// Tells how a dispute over a payment stands. False when no such payment has taken money.
    fn dispute(objects: &Self::Objects, payment: &str, dispute: Dispute, context: &mut Context<'_, Self>) -> bool;
    /// Says no, for a reason that every protocol has.
    fn refuse(refusal: Refusal<'_>) -> Answer;
    /// A new name for a request.
    fn new_request_id() -> String;
    /// A webhook's body.
    fn body(event: Self::Event, told: &Told<'_>) -> String;
    /// The books as they are now.
    fn books(objects: &Self::Objects) -> Books;
    /// The report of what was settled, as CSV, with these mistakes in it.
    fn settlement(objects: &Self::Objects, mistakes: &Mistakes) -> String;
}

/// How it stands with a payment that the buyer's bank wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dispute {
    Opened,
    Won,
    Lost,
}

/// Why a call is refused before it is carried out.
pub(crate) enum Refusal<'a> {
    /// Too many calls.
    RateLimited,
    /// Something broke on the gateway's side.
    Broken,
    /// The first request with this key is not answered yet.
    KeyInUse { key: &'a str },
    /// The key belongs to a request to another path.
    KeyOfOtherPath { key: &'a str, path: &'a str, first_path: &'a str },
    /// The key belongs to a request with another body.
    KeyOfOtherBody { key: &'a str },
}

/// What a webhook says besides what has happened.
pub(crate) struct Told<'a> {
    pub(crate) at_ms: i64,
    /// The request that it comes of, and its key.
    pub(crate) request_id: &'a str,
    pub(crate) key: Option<&'a str>,
    /// What it is signed with, where the signature is part of the body.
    pub(crate) secret: &'a str,
}

/// What a call is carried out with, and what it leaves besides its answer.
pub(crate) struct Context<'a, P: Protocol> {
    pub(crate) now_ms: i64,
    pub(crate) kind: Kind,
    pub(crate) key: Option<&'a str>,
    /// Where the gateway is reached, for links in answers.
    pub(crate) base_url: &'a str,
    /// How often the call was made, for an object that comes into being now.
    pub(crate) asked: u64,
    /// A fault that decides otherwise.
    pub(crate) outcome: Option<Hit>,
    /// The object that the call made or changed.
    pub(crate) reference: Option<String>,
    pub(crate) events: Vec<P::Event>,
    /// What happens later, and when.
    pub(crate) late: Vec<(i64, Kind, <P::Objects as Objects>::Effect)>,
}

impl<P: Protocol> Context<'_, P> {
    /// The context of something that nobody asked for.
    pub(crate) fn new(now_ms: i64, kind: Kind) -> Self {
        Self {
            now_ms,
            kind,
            key: None,
            base_url: "",
            asked: 1,
            outcome: None,
            reference: None,
            events: Vec::new(),
            late: Vec::new(),
        }
    }

    /// The fault that decides otherwise, when it is one of `faults`. It decides once.
    pub(crate) fn take_outcome(&mut self, faults: &[Fault]) -> Option<Hit> {
        self.outcome.take_if(|hit| faults.contains(&hit.fault))
    }
}
