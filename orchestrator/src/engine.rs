//! The engine's handle: what api and workers hold.

mod holds;
mod settle;

use crate::{
    action::Registry,
    catalog::{Catalog, Known},
    group_commit::GroupCommit,
    ids::{SagaId, Uuid, fresh_uuid},
    journal::Moment,
    judge::Chance,
    moves::Moves,
    outbox::{self, Deliver, Destination},
    projection::Projection,
    run::Run,
    start::{Prepared, Start, StartError, Started, Starts},
    store::{Postgres, Store},
    trace::Traces,
    wakeups,
    watch::{Overdue, Watch},
};
use async_trait::async_trait;
use chrono::TimeDelta;
use holds::{Hold, Holds};
use serde_json::Value;
use sqlx::PgPool;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// How many moves one claim makes before others get a turn.
pub const MOVES_PER_CLAIM_MAX: u32 = 64;

/// How many local steps that follow each other share a transaction, unless the settings say otherwise.
pub const LOCAL_STEPS_MAX: u32 = 8;

/// What an engine is set to.
#[derive(Clone)]
pub struct EngineSettings {
    /// How long a claim holds without being renewed.
    pub lease_secs: i32,
    /// Where retries' jitter comes from.
    pub chance: Arc<Chance>,
    /// How many local steps that follow each other share a transaction at most; with 1, each has its own.
    pub local_steps_max: u32,
    /// Where the ids of sagas and moves come from.
    pub ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    /// How traces go along with sagas.
    pub traces: Traces,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lease_secs: 30,
            chance: Arc::new(|ceiling| rand::random_range(0..=ceiling)),
            ids: Arc::new(fresh_uuid),
            traces: Traces::default(),
            local_steps_max: LOCAL_STEPS_MAX,
        }
    }
}

/// The durable engine of one process. Clones share everything.
pub struct Engine<S: Store = Postgres>(Arc<Shared<S>>);

struct Shared<S: Store> {
    store: S,
    registry: Arc<Registry<S>>,
    catalog: Catalog<S>,
    projection: Arc<dyn Projection<S>>,
    lease_secs: i32,
    ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    traces: Traces,
    moves: GroupCommit<Moves<S>, S>,
    starts: GroupCommit<Starts, S>,
    clock: DatabaseClock,
    watch: Watch,
    holds: Holds,
    wake: Arc<Notify>,
    outbox: Arc<Notify>,
    /// Tells this process and the others that a saga has work to be claimed.
    started: Arc<dyn Fn() + Send + Sync>,
    #[expect(dead_code, reason = "ends with the engine")]
    announcer: AbortOnDropHandle<()>,
}

impl<S: Store> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A saga that this process may move until its lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub(crate) run: Arc<Run>,
    pub(crate) known: Arc<Known>,
    pub(crate) token: i64,
    pub(crate) claims: i32,
    pub(crate) moves: u32,
    hold: Arc<Hold>,
}

impl Claimed {
    /// The saga.
    #[must_use]
    pub fn saga_id(&self) -> SagaId {
        self.run.saga_id
    }

    /// Its definition's name.
    #[must_use]
    pub fn definition(&self) -> &str {
        &self.run.definition
    }

    /// The step it stands at, if any.
    #[must_use]
    pub fn step(&self) -> Option<String> {
        crate::moves::current_step(&self.known.definition, &self.run)
    }

    /// The trace that the saga is part of, as a W3C `traceparent`.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.run.trace.as_deref()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.hold.is_lost()
    }

    /// Whether the lease has certainly not ended, by this machine's steady clock.
    pub(crate) fn is_surely_ours(&self) -> bool {
        self.hold.is_surely_ours(Instant::now())
    }

    pub(crate) fn lose(&self) {
        self.hold.lose();
    }
}

/// What became of a claim after a move.
#[derive(Debug)]
pub enum Settled {
    /// The next step is due at once, under the same claim.
    Continue(Claimed),
    /// The claim has ended: the saga waits, is finished, or others get a turn.
    Released,
    /// The claim was not ours any more; nothing was written.
    Superseded,
}

impl Engine {
    /// An engine on a database that has the schema. Call it inside a Tokio runtime.
    #[must_use]
    pub fn new(
        settings: EngineSettings,
        pool: PgPool,
        registry: Arc<Registry>,
        projection: Arc<dyn Projection>,
    ) -> Self {
        Self::on(Postgres::new(pool), settings, registry, projection)
    }

    /// The database.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.0.store.pool()
    }
}

impl<S: Store> Engine<S> {
    /// Starts the engine's committers on a store. Call it inside a Tokio runtime.
    #[must_use]
    pub fn on(
        store: S,
        settings: EngineSettings,
        registry: Arc<Registry<S>>,
        projection: Arc<dyn Projection<S>>,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let outbox = Arc::new(Notify::new());
        let committed: Arc<dyn Fn() + Send + Sync> = {
            let (wake, outbox) = (Arc::clone(&wake), Arc::clone(&outbox));
            Arc::new(move || {
                wake.notify_one();
                outbox.notify_one();
            })
        };
        let announce = Arc::new(Notify::new());
        let started: Arc<dyn Fn() + Send + Sync> = {
            let (wake, announce) = (Arc::clone(&wake), Arc::clone(&announce));
            Arc::new(move || {
                wake.notify_one();
                announce.notify_one();
            })
        };
        let watch = Watch::default();
        let moves = Moves {
            projection: Arc::clone(&projection),
            watch: watch.clone(),
            chance: settings.chance,
            lease_secs: settings.lease_secs,
            registry: Arc::clone(&registry),
            local_steps_max: settings.local_steps_max,
            committed: Arc::clone(&committed),
        };
        Self(Arc::new(Shared {
            catalog: Catalog::new(store.clone(), Arc::clone(&registry)),
            moves: GroupCommit::start(store.clone(), moves),
            starts: GroupCommit::start(store.clone(), Starts { committed: Arc::clone(&started) }),
            announcer: AbortOnDropHandle::new(tokio::spawn(wakeups::announce(store.clone(), announce))),
            started,
            store,
            registry,
            projection,
            lease_secs: settings.lease_secs,
            ids: settings.ids,
            traces: settings.traces,
            clock: DatabaseClock::default(),
            watch,
            holds: Holds::default(),
            wake,
            outbox,
        }))
    }

    pub(crate) fn store(&self) -> &S {
        &self.0.store
    }

    pub(crate) fn fresh_id(&self) -> Uuid {
        (self.0.ids)()
    }

    /// How traces go along with sagas.
    #[must_use]
    pub fn traces(&self) -> &Traces {
        &self.0.traces
    }

    /// The definitions.
    #[must_use]
    pub fn catalog(&self) -> &Catalog<S> {
        &self.0.catalog
    }

    /// What definitions may name.
    #[must_use]
    pub fn registry(&self) -> &Registry<S> {
        &self.0.registry
    }

    pub(crate) fn projection(&self) -> &dyn Projection<S> {
        self.0.projection.as_ref()
    }

    pub(crate) fn lease_secs(&self) -> i32 {
        self.0.lease_secs
    }

    pub(crate) fn clock(&self) -> &DatabaseClock {
        &self.0.clock
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// An action of this process that should have ended long ago, by at least `patience`.
    #[must_use]
    pub fn overdue(&self, patience: Duration) -> Option<Overdue> {
        self.0.watch.overdue(patience)
    }

    /// Completes after something was committed in this process: a hint that there may be work.
    pub async fn something_committed(&self) {
        self.0.wake.notified().await;
    }

    /// Completes after something was committed in this process: a hint that there may be messages to deliver.
    pub async fn something_for_the_outbox(&self) {
        self.0.outbox.notified().await;
    }

    /// Tells all processes that a saga has work to be claimed; after a commit, never instead of one.
    pub fn hint(&self) {
        (self.0.started)();
    }

    /// Takes up other processes' hints, for [`Engine::something_committed`]. Never ends.
    pub async fn listen(&self) {
        let wake = Arc::clone(&self.0.wake);
        wakeups::listen(self.0.store.clone(), move || wake.notify_one()).await;
    }

    /// Resolves a start's definition and checks its input, outside of any transaction.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn prepare(&self, saga_id: SagaId, start: Start) -> Result<Prepared, StartError> {
        let known = match start.version {
            Some(version) => self.0.catalog.get(&start.definition, version).await?,
            None => self.0.catalog.active(&start.definition).await?,
        };
        match known {
            Some(known) => Ok(Prepared::new(saga_id, start, &known)?.traced(self.traces().current())),
            None => Err(StartError::UnknownDefinition { name: start.definition, version: start.version }),
        }
    }

    /// Starts a saga through group commit. Durable when it answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, start: Start) -> Result<Started, StartError> {
        let prepared = self.prepare(SagaId(self.fresh_id()), start).await?;
        Ok(self.0.starts.submit(prepared).await?)
    }

    /// As [`Engine::start`], of one that a person or a program asks for from there: it is in the record of acts.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_asked(&self, start: Start, address: Option<IpAddr>) -> Result<Started, StartError> {
        let prepared = self.prepare(SagaId(self.fresh_id()), start).await?.asked_from(address);
        Ok(self.0.starts.submit(prepared).await?)
    }

    /// Gives every saga that nobody looks after a wake-up, and tells how many there were.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep(&self) -> Result<u64, sqlx::Error> {
        self.0.store.sweep().await
    }

    /// Delivers outbox messages that are due there: signals between sagas by itself, all others through `deliver`.
    ///
    /// # Errors
    /// The database's.
    pub async fn dispatch_outbox(
        &self,
        deliver: &dyn Deliver,
        destination: Destination,
        limit: i64,
    ) -> Result<usize, sqlx::Error> {
        outbox::dispatch_due(&self.0.store, &Dispatcher { engine: self, deliver }, destination, limit).await
    }
}

/// The database's time, estimated between two looks at it with this machine's steady clock.
#[derive(Debug, Default)]
pub(crate) struct DatabaseClock(Mutex<Option<(Moment, Instant)>>);

impl DatabaseClock {
    fn set(&self, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Instant::now()));
    }

    pub(crate) fn now(&self) -> Moment {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Some((moment, at)) => moment + TimeDelta::from_std(at.elapsed()).unwrap_or_default(),
            // nothing is executed before something was claimed
            None => Moment::UNIX_EPOCH,
        }
    }
}

/// Delivers the engine's own messages, and passes the others on.
struct Dispatcher<'a, S: Store> {
    engine: &'a Engine<S>,
    deliver: &'a dyn Deliver,
}

#[async_trait]
impl<S: Store> Deliver for Dispatcher<'_, S> {
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error> {
        match topic {
            crate::moves::SIGNAL_TOPIC => self.engine.deliver_signal(payload).await,
            _ => self.deliver.deliver(topic, payload).await,
        }
    }
}
