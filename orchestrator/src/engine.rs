//! The engine's handle: what api and workers hold.

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
    store, wakeups,
};
use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::Value;
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
    held: Mutex<HashMap<SagaId, Arc<Hold>>>,
    wake: Arc<Notify>,
    outbox: Arc<Notify>,
    /// Tells this process and the others that a saga has work to be claimed.
    started: Arc<dyn Fn() + Send + Sync>,
    #[expect(dead_code, reason = "ends with the engine")]
    announcer: AbortOnDropHandle<()>,
}

/// What is known of a claim in this process.
#[derive(Debug)]
struct Hold {
    token: i64,
    lost: AtomicBool,
}

/// A saga that this process may move until its lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub(crate) run: Run,
    pub(crate) known: Arc<Known>,
    pub(crate) token: i64,
    pub(crate) claims: i32,
    pub(crate) priority: i16,
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
        self.hold.lost.load(Ordering::Acquire)
    }

    pub(crate) fn lose(&self) {
        self.hold.lost.store(true, Ordering::Release);
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
            held: Mutex::default(),
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

    /// Claims up to `limit` sagas that are due.
    ///
    /// # Errors
    /// The database's. What was claimed is then free again when its lease ends.
    pub async fn claim(&self, worker: &str, limit: usize) -> Result<Vec<Claimed>, sqlx::Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = claims::claim(&self.0.pool, worker, limit, self.0.lease_secs).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.0.pool.acquire().await?;
        self.0.clock.set(store::now(&mut connection).await?);
        let wanted: Vec<_> = rows.iter().map(|row| (row.saga_id, 0)).collect();
        let mut journals = store::journals_after(&mut connection, &wanted).await?;
        drop(connection);
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let journal = journals.remove(&row.saga_id).unwrap_or_else(|| Ok(Vec::new()));
            let run = journal.and_then(|written| {
                let journal: Vec<_> = written.into_iter().map(|(recorded, _)| recorded).collect();
                Ok(Run::replay(row.saga_id, &journal)?)
            });
            match run {
                Ok(run) => claimed.extend(self.hold(row, run).await?),
                // Its lease keeps it away from others for a while; `showrunner check` shows it.
                Err(error) => tracing::error!(
                    saga.id = %row.saga_id, error = %error, "Saga {} cannot be replayed: {error}", row.saga_id
                ),
            }
        }
        Ok(claimed)
    }

    async fn hold(&self, row: claims::ClaimRow, run: Run) -> Result<Option<Claimed>, sqlx::Error> {
        let Some(known) = self.0.catalog.get(&run.definition, run.version).await? else {
            tracing::error!(
                saga.id = %run.saga_id,
                "Saga {} runs {} version {}, which is not in the database", run.saga_id, run.definition, run.version
            );
            return Ok(None);
        };
        let hold = Arc::new(Hold { token: row.token, lost: AtomicBool::new(false) });
        self.held().insert(row.saga_id, Arc::clone(&hold));
        Ok(Some(Claimed { run, known, token: row.token, claims: row.claims, priority: row.priority, steps: 0, hold }))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SagaId, Arc<Hold>>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, claimed: &Claimed) {
        let mut held = self.held();
        if held.get(&claimed.saga_id()).is_some_and(|hold| hold.token == claimed.token) {
            held.remove(&claimed.saga_id());
        }
    }

    /// Extends all leases that this process holds. Claims that others have taken meanwhile are marked lost, so
    /// that no further call is made for them.
    ///
    /// # Errors
    /// The database's; leases then run on towards their end.
    pub async fn keep_leases(&self) -> Result<(), sqlx::Error> {
        let held: Vec<_> = self.held().iter().map(|(saga_id, hold)| (*saga_id, hold.token)).collect();
        if held.is_empty() {
            return Ok(());
        }
        let ours = claims::renew(&self.0.pool, &held, self.0.lease_secs).await?;
        let ours: std::collections::HashSet<_> = ours.into_iter().collect();
        let lost: Vec<_> = held.into_iter().filter(|(saga_id, _)| !ours.contains(saga_id)).collect();
        for (saga_id, token) in lost {
            if let Some(hold) = self.held().get(&saga_id).filter(|hold| hold.token == token) {
                hold.lost.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Gives claims back that nothing was done with: others take them at once.
    ///
    /// # Errors
    /// The database's; the claims then end with their leases.
    pub async fn hand_back(&self, claimed: Vec<Claimed>) -> Result<(), sqlx::Error> {
        let held: Vec<_> = claimed.iter().map(|one| (one.saga_id(), one.token)).collect();
        claimed.iter().for_each(|one| self.let_go(one));
        claims::hand_back(&self.0.pool, &held).await
    }

    /// Gives everything back that this process still holds: what was in the middle of a call is then in doubt, and
    /// is looked after by others at once.
    ///
    /// # Errors
    /// The database's; the claims then end with their leases.
    pub async fn hand_back_all(&self) -> Result<(), sqlx::Error> {
        let held: Vec<_> = self.held().drain().map(|(saga_id, hold)| (saga_id, hold.token)).collect();
        claims::hand_back(&self.0.pool, &held).await
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
