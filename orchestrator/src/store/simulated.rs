//! A store in memory, for the simulator: the same promises as PostgreSQL's, on virtual time, by one thread, with
//! processes that die or sleep at any call and with commits whose fate is unknown.
//!
//! Transactions run one after another: whoever opens one waits until the one before has ended. That is stricter than
//! PostgreSQL, where only those wait that touch the same rows, and it is what the engine's locks come to.

mod data;
mod gate;
mod process;
mod trouble;
mod tx;
mod unknown;

pub use data::{Act, Case, Data, OutboxRow, Ready, SagaRow};
pub use process::{Fate, Process};
pub use trouble::{CommitFate, Luck, Trouble};
pub use tx::SimulatedTx;
pub use unknown::Found;

use super::{Claim, Journals, Store, Stored, StoredDefinition, Taken};
use crate::{
    ids::SagaId,
    journal::Moment,
    outbox::{Destination, DueMessage, Rest},
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use gate::Gate;
use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::broadcast, time::Instant};
use unknown::Unknown;
use uuid::Uuid;

/// What local actions may keep in the store beside sagas.
pub trait Business: Clone + Default + Send + Sync + 'static {}
impl<B: Clone + Default + Send + Sync + 'static> Business for B {}

/// One process's way to the store. Clones are the same process.
pub struct Simulated<B: Business = ()> {
    shared: Arc<Shared<B>>,
    process: Process,
}

impl<B: Business> Clone for Simulated<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), process: self.process.clone() }
    }
}

struct Shared<B: Business> {
    data: Mutex<Data<B>>,
    gate: Gate,
    trouble: Mutex<Trouble>,
    luck: Luck,
    began: Instant,
    hints: broadcast::Sender<()>,
    unknown: Mutex<Unknown>,
}

impl<B: Business> Simulated<B> {
    /// A new, empty store, seen by a first process. Call it inside a Tokio runtime whose time is paused.
    #[must_use]
    pub fn new(luck: Luck) -> Self {
        let shared = Shared {
            data: Mutex::new(Data::default()),
            gate: Gate::default(),
            trouble: Mutex::new(Trouble::default()),
            luck,
            began: Instant::now(),
            hints: broadcast::Sender::new(HINTS_MAX),
            unknown: Mutex::default(),
        };
        Self { shared: Arc::new(shared), process: Process::default() }
    }

    /// The same store, seen by another process.
    #[must_use]
    pub fn another_process(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), process: Process::default() }
    }

    /// The process that sees it through this.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What goes wrong from now on.
    pub fn trouble(&self, trouble: Trouble) {
        *self.present_trouble() = trouble;
    }

    /// What goes wrong now, and what is still to come of what was ordered.
    pub fn present_trouble(&self) -> impl DerefMut<Target = Trouble> + '_ {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is committed, to be looked at or tampered with.
    pub fn committed(&self) -> impl DerefMut<Target = Data<B>> + '_ {
        self.data()
    }

    /// How often COMMITs whose fate was unknown were settled by writing again.
    #[must_use]
    pub fn found(&self) -> Found {
        self.unknown().found()
    }

    fn unknown(&self) -> MutexGuard<'_, Unknown> {
        self.shared.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store's time.
    #[must_use]
    pub fn time(&self) -> Moment {
        DateTime::UNIX_EPOCH + TimeDelta::from_std(self.shared.began.elapsed()).unwrap_or_default()
    }

    fn data(&self) -> MutexGuard<'_, Data<B>> {
        self.shared.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a process may die, sleep or be kept waiting, and the store be away: before anything that it asks.
    async fn call(&self) -> Stored<()> {
        let (pause, away) = {
            let trouble = self.present_trouble();
            (trouble.pause(&self.shared.luck), trouble.is_away(&self.shared.luck))
        };
        self.process.goes_on().await;
        tokio::time::sleep(pause).await;
        self.process.goes_on().await;
        if away { Err(lost("the connection was refused")) } else { Ok(()) }
    }

    /// A statement that is a transaction by itself.
    async fn statement<T>(&self, what: impl FnOnce(&mut Data<B>, Moment) -> T + Send) -> Stored<T> {
        self.call().await?;
        let turn = self.shared.gate.enter(&self.process).await;
        let now = self.time();
        let done = what(&mut self.data(), now);
        self.shared.gate.leave(turn);
        let lost_answer = self.present_trouble().loses_answer(&self.shared.luck);
        if lost_answer { Err(lost("the answer was lost")) } else { Ok(done) }
    }

    /// Makes a transaction's copy the truth, and lets the next one begin.
    fn apply(&self, data: Data<B>, turn: u64) {
        *self.data() = data;
        self.shared.gate.leave(turn);
    }
}

/// An error after which nobody knows whether what was asked for was done.
fn lost(what: &str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionReset, what))
}

/// A transaction that nobody has committed yet.
pub struct Open<B: Business> {
    tx: SimulatedTx<B>,
    turn: Turn<B>,
}

/// Ends with its transaction, unless that is committed.
struct Turn<B: Business> {
    store: Simulated<B>,
    number: u64,
}

impl<B: Business> Drop for Turn<B> {
    fn drop(&mut self) {
        self.store.shared.gate.leave(self.number);
    }
}

impl<B: Business> Deref for Open<B> {
    type Target = SimulatedTx<B>;
    fn deref(&self) -> &SimulatedTx<B> {
        &self.tx
    }
}

impl<B: Business> DerefMut for Open<B> {
    fn deref_mut(&mut self) -> &mut SimulatedTx<B> {
        &mut self.tx
    }
}

#[async_trait]
impl<B: Business> Store for Simulated<B> {
    type Tx = SimulatedTx<B>;
    type Open = Open<B>;

    async fn begin(&self) -> Stored<Open<B>> {
        self.call().await?;
        let turn = Turn { number: self.shared.gate.enter(&self.process).await, store: self.clone() };
        let data = self.data().clone();
        Ok(Open { tx: SimulatedTx::new(data, self.clone()), turn })
    }

    async fn commit(&self, open: Open<B>) -> Stored<()> {
        let fate = self.present_trouble().commit(&self.shared.luck);
        self.call().await?;
        let Open { tx, turn } = open;
        if !self.shared.gate.holds(turn.number) {
            return Err(lost("the connection was ended while the transaction stood still"));
        }
        let moves = tx.moves().to_vec();
        let Some(data) = tx.into_data()? else { return Ok(()) };
        match fate {
            CommitFate::Done => {
                self.apply(data, turn.number);
                // it may die before it hears of it
                self.process.goes_on().await;
                Ok(())
            }
            CommitFate::LostBefore => {
                self.unknown().lose(&moves, false);
                Err(lost("the connection was lost before COMMIT arrived"))
            }
            CommitFate::LostAfter => {
                self.unknown().lose(&moves, true);
                self.apply(data, turn.number);
                Err(lost("the answer to COMMIT was lost"))
            }
            CommitFate::LostOnItsWay(delay) => {
                // whoever writes the same again waits for it, because it holds its locks until it is done
                self.shared.gate.hand_to_server(turn.number);
                self.unknown().lose(&moves, true);
                let this = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    this.apply(data, turn.number);
                    drop(turn);
                });
                Err(lost("the connection was lost while COMMIT was on its way"))
            }
        }
    }

    async fn claim(&self, _worker: &str, limit: usize, lease_secs: i32) -> Stored<Taken> {
        self.statement(|data, now| data.claim(limit, lease_secs, now)).await
    }

    async fn renew(&self, held: &[(SagaId, i64)], lease_secs: i32) -> Stored<Vec<SagaId>> {
        self.statement(|data, now| data.renew(held, lease_secs, now)).await
    }

    async fn hand_back(&self, held: &[(SagaId, i64)]) -> Stored<()> {
        self.statement(|data, _| data.hand_back(held)).await
    }

    async fn put_off(&self, claims: &[Claim], pause: Duration) -> Stored<()> {
        self.statement(|data, now| claims.iter().for_each(|claim| data.put_off(claim, now + pause))).await
    }

    async fn sweep(&self) -> Stored<u64> {
        self.statement(Data::sweep).await
    }

    async fn journals(&self, sagas: &[SagaId]) -> Stored<(Journals, Moment)> {
        let wanted: Vec<_> = sagas.iter().map(|saga_id| (*saga_id, 0)).collect();
        self.statement(|data, now| (data.journals_after(&wanted), now)).await
    }

    async fn definition(&self, name: &str, version: i32) -> Stored<Option<StoredDefinition>> {
        self.statement(|data, _| data.definitions.get(&(name.to_owned(), version)).cloned()).await
    }

    async fn active_version(&self, name: &str) -> Stored<Option<i32>> {
        self.statement(|data, _| data.active.get(name).copied()).await
    }

    async fn due_messages(&self, destination: Destination, limit: i64) -> Stored<Vec<DueMessage>> {
        self.statement(|data, now| data.due_messages(destination, limit, now)).await
    }

    async fn delivered(&self, messages: &[Uuid]) -> Stored<()> {
        self.statement(|data, _| messages.iter().for_each(|id| drop(data.outbox.remove(id)))).await
    }

    async fn postpone(&self, message: &DueMessage, rest: Rest, error: &str) -> Stored<()> {
        self.statement(|data, now| data.postpone(message, rest, error, now)).await
    }

    async fn announce(&self) -> Stored<()> {
        self.call().await?;
        let times = self.present_trouble().hints(&self.shared.luck);
        // nobody may be listening
        (0..times).for_each(|_| drop(self.shared.hints.send(())));
        Ok(())
    }

    async fn listen(&self, hint: &(dyn Fn() + Send + Sync)) -> Stored<()> {
        let mut hints = self.shared.hints.subscribe();
        loop {
            // those that came while it slept too long are as good as one
            drop(hints.recv().await);
            self.process.goes_on().await;
            hint();
        }
    }
}

/// So many seconds from a moment on.
fn after(moment: Moment, secs: i32) -> Moment {
    moment + TimeDelta::seconds(secs.into())
}

/// How many hints wait for a process that sleeps.
const HINTS_MAX: usize = 64;
/// The shortest time that passes between two calls.
const PAUSE_MIN: Duration = Duration::from_micros(10);
