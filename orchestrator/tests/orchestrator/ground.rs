//! The two stores that the engine is tested on, and what a test needs of one beyond what the engine asks of it.

#[path = "ground/postgres.rs"]
mod postgres;
#[path = "ground/proxy.rs"]
mod proxy;
#[path = "ground/simulated.rs"]
mod simulated;

pub(crate) use postgres::OnPostgres;
pub(crate) use simulated::OnSimulated;

use async_trait::async_trait;
use orchestrator::{SagaId, Store, action::Registry, journal::Moment, outbox::Message, store::Stored};
use std::{sync::Arc, time::Duration};

/// How long anything may take before a test calls it broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A transaction of a ground's store, as local actions see it.
pub(crate) type TxOf<G> = <<G as Ground>::Store as Store>::Tx;

/// An empty store of one kind.
#[async_trait]
pub(crate) trait Ground: Sized + Send + Sync + 'static {
    type Store: Store;

    async fn new() -> Self;

    /// The store, seen by a process.
    fn store(&self) -> Self::Store;
    /// The store, seen by a process that suffers what [`Ground::lose`] orders.
    async fn frail(&self) -> Self::Store;
    /// Has so many of these get lost, from now on.
    fn lose(&self, loss: Loss, times: usize);
    /// How many of them are still to come.
    fn left_to_lose(&self) -> usize;

    /// Makes each document a version, if it is new, and active.
    async fn bring_along(&self, registry: &Arc<Registry<Self::Store>>, documents: &[String]);
    /// Makes a definition impossible to read for whoever has not read it yet.
    async fn spoil_definition(&self, name: &str);
    /// Has the store refuse entries that contain this: a bad row.
    async fn refuse(&self, text: &str);

    /// What a worker's death looks like to others, without the wait.
    async fn end_leases(&self);
    /// So much time passes for wake-ups, leases and messages.
    async fn let_pass(&self, secs: i32);
    /// Forgets what sagas are owed.
    async fn lose_wake_ups(&self);
    /// Returns when somebody is kept waiting by an open transaction.
    async fn somebody_waits(&self);

    async fn wake_up(&self, saga: SagaId) -> Option<WakeUp>;
    /// The cause of its open case.
    async fn open_case(&self, saga: SagaId) -> Option<String>;
    /// All messages, oldest first.
    async fn messages(&self) -> Vec<Kept>;
    /// How many acts have this outcome.
    async fn acts(&self, outcome: &str) -> usize;
    /// Each begins with the name of its invariant.
    async fn violations(&self) -> Vec<String>;

    /// What a local action does for a saga.
    async fn have_effect(tx: &mut TxOf<Self>, saga: SagaId) -> Stored<()>;
    /// A statement of a local action that fails.
    async fn have_error(tx: &mut TxOf<Self>) -> Stored<()>;
    /// How often something was done for a saga.
    async fn effects(&self, saga: SagaId) -> usize;
}

/// What gets lost on the way between a process and its store, and the connection with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A COMMIT that never arrives.
    CommitBefore,
    /// The answer to a COMMIT that is done.
    CommitAfter,
    /// The connection, with a COMMIT that arrives once somebody waits for it.
    CommitOnItsWay,
    /// The answer to a statement that is a transaction by itself, and done.
    Answer,
}

/// A row of `engine.ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WakeUp {
    pub(crate) priority: i16,
    /// None: never.
    pub(crate) wake_at: Option<Moment>,
    /// None: it is nobody's.
    pub(crate) lease_until: Option<Moment>,
    pub(crate) token: Option<i64>,
    pub(crate) claims: i32,
}

/// A row of `engine.outbox`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) message: Message,
    pub(crate) due_at: Moment,
    pub(crate) attempts: i32,
    pub(crate) dead: bool,
    pub(crate) last_error: Option<String>,
}
