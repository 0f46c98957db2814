//! A gateway, whatever protocol it speaks.
//!
//! A request goes through in this order: the protocol says who asks and what is asked, which fault
//! hits it, whether its key has an answer (`store`), what becomes of it (the protocol), and, once
//! all of that is on disk, the answer. What happens later and what is told goes through `later`.

mod later;
mod protocol;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

pub(crate) use self::protocol::{Context, Dispute, Protocol, Refusal, Told};
use crate::answer::Answer;
use crate::books::Books;
use crate::calls::Calls;
use crate::edge;
use crate::faults::{Fault, Faults, Hit, Kind, Stage};
use crate::journal::{Durable, Journal, JournalError};
use crate::settings::Settings;
use crate::settlement::Mistakes;
use crate::store::{KeyState, Objects, Store, StoredAnswer};
use crate::webhooks::Courier;
use crate::wire::Cut;

/// One gateway.
pub(crate) struct Gateway<P: Protocol> {
    store: Mutex<Store<P::Objects>>,
    durable: Durable,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
    pub(crate) api_key: Option<String>,
    webhook_secret: String,
    answer_after: Duration,
    courier: Option<Courier>,
    /// Something is to happen later.
    late_added: Arc<Notify>,
    stopping: watch::Receiver<bool>,
}

/// A request, as far as the connection has anything to say about it.
pub(crate) struct Incoming<C> {
    pub(crate) call: C,
    pub(crate) key: Option<String>,
    pub(crate) path: String,
    /// Stands for everything that must be the same when the key is used again.
    pub(crate) digest: String,
    pub(crate) base_url: String,
}

/// How a request ends.
pub(crate) enum End {
    Answer(Answer),
    Cut(Cut),
}

/// A call that is carried out, and not answered yet.
struct Done<P: Protocol> {
    answer: Answer,
    position: u64,
    /// Its key is in use for as long as this lives.
    key_in_use: Option<KeyInUse<P>>,
}

struct KeyInUse<P: Protocol> {
    gateway: Arc<Gateway<P>>,
    key: String,
}

impl<P: Protocol> Drop for KeyInUse<P> {
    fn drop(&mut self) {
        self.gateway.lock().release_key(&self.key);
    }
}

impl<P: Protocol> Gateway<P> {
    /// Opens the books and goes on where they end.
    pub(crate) async fn open(
        settings: &Settings,
        courier: Option<Courier>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, JournalError> {
        let (journal, durable, records) = Journal::open(&settings.books_path).await?;
        let gateway = Arc::new(Self {
            store: Mutex::new(Store::replay(records, journal)),
            durable,
            faults: Faults::default(),
            calls: Calls::default(),
            api_key: settings.api_key.clone(),
            webhook_secret: settings.webhook_secret.clone(),
            answer_after: settings.answer_after,
            courier,
            late_added: Arc::new(Notify::new()),
            stopping,
        });
        gateway.go_on();
        Ok(gateway)
    }

    /// The books, as far as they are on disk.
    pub(crate) async fn books(&self) -> Books {
        self.read(P::books).await
    }

    /// The settlement file, as far as it is on disk.
    pub(crate) async fn settlement(&self, mistakes: &Mistakes) -> String {
        self.read(|objects| P::settlement(objects, mistakes)).await
    }

    async fn read<T>(&self, look: impl FnOnce(&P::Objects) -> T) -> T {
        let (seen, position) = {
            let mut store = self.lock();
            (look(&store.objects), store.commit())
        };
        self.durable.until(position).await;
        seen
    }

    /// Something that nobody asked for over the protocol, such as what a buyer does. Waits until it
    /// is on disk.
    pub(crate) async fn act<T>(
        self: &Arc<Self>,
        kind: Kind,
        change: impl FnOnce(&mut P::Objects, &mut Context<'_, P>) -> T,
    ) -> T {
        let (result, position) = {
            let mut store = self.lock();
            let mut context = Context::new(edge::now_ms(), kind);
            let result = change(&mut store.objects, &mut context);
            let position = self.finish(&mut store, context, &P::new_request_id());
            (result, position)
        };
        self.durable.until(position).await;
        result
    }

    /// Answers a request, or does not; never sooner than it is set to.
    pub(crate) async fn answer(self: &Arc<Self>, incoming: Incoming<P::Call>) -> End {
        let asked_at = Instant::now();
        let call = self.calls.begin(P::kind(&incoming.call), incoming.key.clone());
        let end = self.end(incoming).await;
        self.hold(self.answer_after.saturating_sub(asked_at.elapsed())).await;
        let status = match &end {
            End::Answer(answer) => Some(answer.status),
            End::Cut(_) => None,
        };
        self.calls.end(call, status);
        end
    }

    async fn end(self: &Arc<Self>, incoming: Incoming<P::Call>) -> End {
        let hit = self.pick_connection_fault(&incoming);
        if let Some(hit) = hit {
            let end = match hit.fault {
                Fault::RateLimited => {
                    End::Answer(Answer { retry_after: hit.retry_after, ..P::refuse(Refusal::RateLimited) })
                }
                Fault::TimeoutBefore => End::Cut(Cut::Close),
                Fault::Reset => End::Cut(Cut::Reset),
                _ => return self.carry_out(incoming, Some(hit)).await,
            };
            {
                let mut store = self.lock();
                note_asked::<P>(&mut store, &incoming);
                store.commit();
            }
            self.hold(hit.delay).await;
            return end;
        }
        self.carry_out(incoming, None).await
    }

    /// Executes a call, waits until that is on disk, and spoils the answer if a fault says so.
    async fn carry_out(self: &Arc<Self>, incoming: Incoming<P::Call>, hit: Option<Hit>) -> End {
        let mut done = self.execute(incoming, hit.as_ref());
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

    /// The fault that hits this call on its way. A call that was executed before gets its first
    /// answer again, and does not break a second time.
    fn pick_connection_fault(&self, incoming: &Incoming<P::Call>) -> Option<Hit> {
        let key_state = |key: &str| self.lock().key_state(key, edge::now_ms(), P::KEY_TTL_MS);
        let is_replay = match incoming.key.as_deref().map(key_state) {
            None | Some(KeyState::Free) => false,
            Some(KeyState::InUse | KeyState::Answered(_)) => true,
        };
        let applies = |fault| !(is_replay && fault == Fault::Error500);
        self.faults.pick(Stage::Connection, P::kind(&incoming.call), applies)
    }

    fn execute(self: &Arc<Self>, incoming: Incoming<P::Call>, hit: Option<&Hit>) -> Done<P> {
        let now_ms = edge::now_ms();
        let mut store = self.lock();
        note_asked::<P>(&mut store, &incoming);
        let known = incoming.key.as_deref().and_then(|key| known_answer::<P>(&store, key, &incoming, now_ms));
        if let Some(answer) = known {
            return Done { answer, position: store.commit(), key_in_use: None };
        }

        let kind = P::kind(&incoming.call);
        let mut context = Context {
            key: incoming.key.as_deref(),
            base_url: &incoming.base_url,
            asked: store.asked_so_far(incoming.key.as_deref()),
            ..Context::new(now_ms, kind)
        };
        let answer = match hit {
            Some(hit) if hit.fault == Fault::Error500 => P::refuse(Refusal::Broken),
            _ => {
                context.outcome = self.faults.pick(Stage::Outcome, kind, |_| true);
                P::execute(&mut store.objects, incoming.call, &mut context)
            }
        };
        let reference = context.reference.take();
        if let Some(key) = context.key {
            store.take_key(key);
            if answer.sticks {
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
        }
        let position = self.finish(&mut store, context, &answer.request_id);
        drop(store);
        Done { answer, position, key_in_use: incoming.key.map(|key| KeyInUse { gateway: Arc::clone(self), key }) }
    }

    /// Waits, but not past the end of the gateway.
    async fn hold(&self, delay: Duration) {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store<P::Objects>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_asked<P: Protocol>(store: &mut Store<P::Objects>, incoming: &Incoming<P::Call>) {
    let kind = P::kind(&incoming.call);
    if kind != Kind::Probe {
        store.note_asked(kind, P::reference(&incoming.call), incoming.key.as_deref());
    }
}

/// The answer to a key that was used before.
fn known_answer<P: Protocol>(
    store: &Store<impl Objects>,
    key: &str,
    incoming: &Incoming<P::Call>,
    now_ms: i64,
) -> Option<Answer> {
    let stored = match store.key_state(key, now_ms, P::KEY_TTL_MS) {
        KeyState::Free => return None,
        KeyState::InUse => return Some(P::refuse(Refusal::KeyInUse { key })),
        KeyState::Answered(stored) => stored,
    };
    if stored.path != incoming.path {
        let (path, first_path) = (&incoming.path, &stored.path);
        return Some(P::refuse(Refusal::KeyOfOtherPath { key, path, first_path }));
    }
    if stored.digest != incoming.digest {
        return Some(P::refuse(Refusal::KeyOfOtherBody { key }));
    }
    Some(Answer::replay(stored, P::new_request_id()))
}
