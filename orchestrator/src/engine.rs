//! The engine's handle: what api and workers hold.

mod holds;
mod settle;

use crate::{
    action::Registry,
    catalog::{Catalog, Known},
    claims,
    group_commit::GroupCommit,
    ids::SagaId,
    journal::Moment,
    judge::Chance,
    moves::Moves,
    outbox::{self, Deliver},
    projection::Projection,
    run::Run,
    start::{Prepared, Start, StartError, Started, Starts},
    wakeups,
};
use async_trait::async_trait;
use chrono::TimeDelta;
use holds::{Hold, Holds};
use serde_json::Value;
use sqlx::PgPool;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// How many steps one claim runs before others get a turn.
pub const STEPS_PER_CLAIM_MAX: u32 = 64;

/// What an engine is set to.
#[derive(Clone)]
pub struct EngineSettings {
    /// How long a claim holds without being renewed.
    pub lease_secs: i32,
    /// Where retries' jitter comes from.
    pub chance: Arc<Chance>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { lease_secs: 30, chance: Arc::new(|ceiling| rand::random_range(0..=ceiling)) }
    }
}

/// The durable engine of one process. Clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    pool: PgPool,
    registry: Arc<Registry>,
    catalog: Catalog,
    projection: Arc<dyn Projection>,
    lease_secs: i32,
    moves: GroupCommit<Moves>,
    starts: GroupCommit<Starts>,
    clock: DatabaseClock,
    holds: Holds,
    wake: Arc<Notify>,
    outbox: Arc<Notify>,
    /// Tells this process and the others that a saga has work to be claimed.
    started: Arc<dyn Fn() + Send + Sync>,
    #[expect(dead_code, reason = "ends with the engine")]
    announcer: AbortOnDropHandle<()>,
}

/// A saga that this process may move until its lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub(crate) run: Run,
    pub(crate) known: Arc<Known>,
    pub(crate) token: i64,
    pub(crate) claims: i32,
    pub(crate) steps: u32,
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

    pub(crate) fn is_lost(&self) -> bool {
        self.hold.is_lost()
    }

    pub(crate) fn lose(&self) {
        self.hold.lose();
    }
}

/// What became of a claim after a move.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub enum Settled {
    /// The next step is due at once, under the same claim.
    Continue(Claimed),
    /// The claim has ended: the saga waits, is finished, or others get a turn.
    Released,
    /// The claim was not ours any more; nothing was written.
    Superseded,
}

impl Engine {
    /// Starts the engine's committers on a database that has the schema. Call it inside a Tokio runtime.
    #[must_use]
    pub fn new(
        settings: EngineSettings,
        pool: PgPool,
        registry: Arc<Registry>,
        projection: Arc<dyn Projection>,
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
        let moves = Moves {
            projection: Arc::clone(&projection),
            chance: settings.chance,
            lease_secs: settings.lease_secs,
            committed: Arc::clone(&committed),
        };
        Self(Arc::new(Shared {
            catalog: Catalog::new(pool.clone(), Arc::clone(&registry)),
            moves: GroupCommit::start(pool.clone(), moves),
            starts: GroupCommit::start(pool.clone(), Starts { committed: Arc::clone(&started) }),
            announcer: AbortOnDropHandle::new(tokio::spawn(wakeups::announce(pool.clone(), announce))),
            started,
            pool,
            registry,
            projection,
            lease_secs: settings.lease_secs,
            clock: DatabaseClock::default(),
            holds: Holds::default(),
            wake,
            outbox,
        }))
    }

    /// The database.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// The definitions.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// What definitions may name.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn projection(&self) -> &dyn Projection {
        self.0.projection.as_ref()
    }

    pub(crate) fn lease_secs(&self) -> i32 {
        self.0.lease_secs
    }

    pub(crate) fn clock(&self) -> &DatabaseClock {
        &self.0.clock
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
        wakeups::listen(self.0.pool.clone(), move || wake.notify_one()).await;
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
            Some(known) => Prepared::new(saga_id, start, &known),
            None => Err(StartError::UnknownDefinition { name: start.definition, version: start.version }),
        }
    }

    /// Starts a saga through group commit. Durable when it answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, start: Start) -> Result<Started, StartError> {
        let prepared = self.prepare(SagaId::fresh(), start).await?;
        Ok(self.0.starts.submit(prepared).await?)
    }

    /// Gives every saga that nobody looks after a wake-up, and tells how many there were.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep(&self) -> Result<u64, sqlx::Error> {
        claims::sweep(&self.0.pool).await
    }

    /// Makes the history's partitions for the two weeks to come.
    ///
    /// # Errors
    /// The database's.
    pub async fn make_partitions(&self) -> Result<(), sqlx::Error> {
        sqlx::query!("select engine.make_partitions(now() - interval '1 day', now() + interval '14 days')")
            .fetch_one(&self.0.pool)
            .await?;
        Ok(())
    }

    /// Delivers outbox messages that are due: signals between sagas by itself, all others through `deliver`.
    ///
    /// # Errors
    /// The database's.
    pub async fn dispatch_outbox(&self, deliver: &dyn Deliver, limit: i64) -> Result<usize, sqlx::Error> {
        outbox::dispatch_due(&self.0.pool, &Dispatcher { engine: self, deliver }, limit).await
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
struct Dispatcher<'a> {
    engine: &'a Engine,
    deliver: &'a dyn Deliver,
}

#[async_trait]
impl Deliver for Dispatcher<'_> {
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error> {
        match topic {
            crate::moves::SIGNAL_TOPIC => self.engine.deliver_signal(payload).await,
            _ => self.deliver.deliver(topic, payload).await,
        }
    }
}
