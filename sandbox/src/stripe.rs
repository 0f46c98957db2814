//! A gateway that speaks Stripe's API.
//!
//! A request goes through in this order: who asks (`http`), what is asked (`form`, `params`,
//! `call`), which fault hits it, whether its key has an answer (`store`), what becomes of it
//! (`execute`), and, once all of that is on disk, the answer.

pub(crate) mod http;

mod answer;
mod call;
mod execute;
mod view;

mod objects;
mod status;
mod store;

mod cards;
mod currencies;
mod error;
mod form;
mod params;
mod render;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use self::answer::{Answer, known_answer, new_request_id};
use self::call::Request;
use self::error::ApiError;
use self::execute::{Context, Event};
use self::store::{KeyState, Store, StoredAnswer};
use crate::books::Books;
use crate::edge;
use crate::faults::{Fault, Faults, Hit};
use crate::journal::{Durable, Journal, JournalError};
use crate::settings::Settings;
use crate::webhooks::Courier;
use crate::wire::Cut;

pub(crate) use self::execute::Challenge;

/// One gateway.
pub(crate) struct Gateway {
    store: Mutex<Store>,
    durable: Durable,
    pub(crate) faults: Faults,
    api_key: Option<String>,
    courier: Option<Courier>,
    stopping: watch::Receiver<bool>,
}

/// A request, as far as the connection has anything to say about it.
struct Incoming {
    request: Request,
    key: Option<String>,
    path: String,
    /// Stands for everything that must be the same when the key is used again.
    digest: String,
    base_url: String,
}

/// How a request ends.
enum End {
    Answer(Answer),
    Cut(Cut),
}

/// A call that is carried out, and not answered yet.
struct Done {
    answer: Answer,
    position: u64,
    /// Its key is in use for as long as this lives.
    key_in_use: Option<KeyInUse>,
}

struct KeyInUse {
    gateway: Arc<Gateway>,
    key: String,
}

impl Drop for KeyInUse {
    fn drop(&mut self) {
        self.gateway.lock().release_key(&self.key);
    }
}

impl Gateway {
    /// Opens the books and goes on where they end.
    pub(crate) async fn open(
        settings: &Settings,
        courier: Option<Courier>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, JournalError> {
        let (journal, durable, records) = Journal::open(&settings.books_path).await?;
        Ok(Self {
            store: Mutex::new(Store::replay(records, journal)),
            durable,
            faults: Faults::default(),
            api_key: settings.api_key.clone(),
            courier,
            stopping,
        })
    }

    /// The books, as far as they are on disk.
    pub(crate) async fn books(&self) -> Books {
        let (books, position) = {
            let mut store = self.lock();
            (view::books(&store), store.commit())
        };
        self.durable.until(position).await;
        books
    }

    /// The buyer has answered a challenge. Where they go back to, if there is such a place.
    pub(crate) async fn finish_challenge(&self, id: &str, outcome: Challenge) -> Result<Option<String>, Value> {
        let (result, position) = {
            let mut store = self.lock();
            let mut context = Context {
                now_ms: edge::now_ms(),
                key: None,
                base_url: "",
                forced_failure: None,
                reference: None,
                events: Vec::new(),
            };
            let result = execute::finish_challenge(&mut store, id, outcome, &mut context);
            let position = store.commit();
            self.tell(position, context.events, None, &new_request_id());
            (result, position)
        };
        self.durable.until(position).await;
        result.map_err(|error| error.body())
    }

    async fn answer(self: &Arc<Self>, incoming: Incoming) -> End {
        let hit = self.pick_fault(&incoming);
        if let Some(hit) = hit {
            let end = match hit.fault {
                Fault::RateLimited => End::Answer(Answer::error(ApiError::rate_limited())),
                Fault::TimeoutBefore => End::Cut(Cut::Close),
                Fault::Reset => End::Cut(Cut::Reset),
                _ => return self.carry_out(incoming, Some(hit)).await,
            };
            self.note_asked(&mut self.lock(), &incoming);
            self.hold(hit.delay).await;
            return end;
        }
        self.carry_out(incoming, None).await
    }

    /// Executes a call, waits until that is on disk, and spoils the answer if a fault says so.
    async fn carry_out(self: &Arc<Self>, incoming: Incoming, hit: Option<Hit>) -> End {
        let mut done = self.execute(incoming, hit);
        if !self.durable.until(done.position).await {
            return End::Cut(Cut::Close);
        }
        let Some(hit) = hit else {
            return End::Answer(done.answer);
        };
        if hit.fault == Fault::TimeoutAfter {
            // The gateway has answered; it is the network that has lost it.
            done.key_in_use = None;
        }
        self.hold(hit.delay).await;
        match hit.fault {
            Fault::TimeoutAfter => End::Cut(Cut::Close),
            Fault::Malformed => End::Answer(done.answer.cut_short()),
            _ => End::Answer(done.answer),
        }
    }

    /// The fault that hits this call. What changes the execution has no hold on a call that was
    /// executed before and only gets its answer again.
    fn pick_fault(&self, incoming: &Incoming) -> Option<Hit> {
        let key_state = |key| self.lock().key_state(key, edge::now_ms());
        let is_replay = match incoming.key.as_deref().map(key_state) {
            None | Some(KeyState::Free) => false,
            Some(KeyState::InUse | KeyState::Answered(_)) => true,
        };
        let kind = incoming.request.call.kind();
        self.faults.pick(kind, |fault| !(is_replay && fault.changes_execution()))
    }

    fn execute(self: &Arc<Self>, incoming: Incoming, hit: Option<Hit>) -> Done {
        let now_ms = edge::now_ms();
        let mut store = self.lock();
        self.note_asked(&mut store, &incoming);
        let known = incoming.key.as_deref().and_then(|key| known_answer(&store, key, &incoming, now_ms));
        if let Some(answer) = known {
            return Done { answer, position: store.commit(), key_in_use: None };
        }

        let mut context = Context {
            now_ms,
            key: incoming.key.as_deref(),
            base_url: &incoming.base_url,
            forced_failure: forced_failure(hit),
            reference: None,
            events: Vec::new(),
        };
        let result = match hit {
            Some(hit) if hit.fault == Fault::Error500 => Err(ApiError::broken()),
            _ => execute::execute(&mut store, incoming.request, &mut context),
        };
        let Context { reference, events, .. } = context;
        let answer = Answer::new(result, new_request_id());
        if let Some(key) = &incoming.key {
            store.take_key(key);
            let stored = StoredAnswer {
                path: incoming.path,
                digest: incoming.digest,
                status: answer.status,
                body: answer.body.clone(),
                request_id: answer.request_id.clone(),
                reference,
                at_ms: now_ms,
            };
            store.put_answer(key, stored);
        }
        let position = store.commit();
        let key = incoming.key.as_deref();
        self.tell(position, events, key, &answer.request_id);
        Done { answer, position, key_in_use: incoming.key.map(|key| KeyInUse { gateway: Arc::clone(self), key }) }
    }

    fn note_asked(&self, store: &mut Store, incoming: &Incoming) {
        let call = &incoming.request.call;
        if call.kind() != crate::faults::Kind::Probe {
            store.note_asked(call.kind(), call.intent(), incoming.key.as_deref());
        }
    }

    fn tell(&self, position: u64, events: Vec<Event>, key: Option<&str>, request_id: &str) {
        let Some(courier) = &self.courier else { return };
        for event in events {
            let id = edge::random_id("evt_3", 23);
            let body = serde_json::json!({
                "id": id,
                "object": "event",
                "api_version": API_VERSION,
                "created": edge::now_ms() / 1000,
                "data": {"object": event.object},
                "livemode": false,
                "pending_webhooks": 1,
                "request": {"id": request_id, "idempotency_key": key},
                "type": event.kind,
            });
            courier.send(self.durable.clone(), position, format!("{body:#}"));
        }
    }

    /// Waits, but not past the end of the gateway.
    async fn hold(&self, delay: Duration) {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version of Stripe's API that objects and events have the shape of.
const API_VERSION: &str = "2025-03-31.basil";

fn forced_failure(hit: Option<Hit>) -> Option<objects::Failure> {
    match hit?.fault {
        Fault::Decline => Some(cards::generic_decline()),
        Fault::InsufficientFunds => Some(cards::insufficient_funds()),
        _ => None,
    }
}
