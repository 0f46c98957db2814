//! One process's worker: claimer, lease keeper, outbox and periodic work beside apalis's workers, under one monitor.

use crate::{
    claimer,
    periodic::{self, Chores},
    queue::{LocalQueue, QueueBackend},
    turns::{Settle, take_turn},
    watchdog::Watchdog,
};
use apalis::prelude::{Monitor, WorkerBuilder, WorkerBuilderExt};
use orchestrator::{
    Engine,
    outbox::{Deliver, Destination},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower::layer::util::Identity;

/// How many chores may run at the same time.
const CHORES_AT_ONCE_MAX: usize = 4;
/// How many messages to what is ours are taken from the outbox at a time.
const INSIDE_MESSAGES_MAX: i64 = 100;
/// How many messages are on their way to servers that are not ours at the same time. Each is taken by itself, so that
/// one that hangs holds up no other.
const OUTSIDE_AT_ONCE_MAX: usize = 4;
/// How often we look into the outbox without a hint.
const OUTBOX_LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often we look for messages to servers that are not ours.
const OUTSIDE_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a worker is set to.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// How many steps may be in the middle of something at the same time.
    pub concurrency: usize,
    /// The lease of a claim; the same as the engine's.
    pub lease: Duration,
    /// How long calls in flight may take after a stop is asked for.
    pub drain: Duration,
}

/// Why a worker ended otherwise than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// apalis gave up.
    #[error("the worker ended by itself")]
    Ended(#[source] anyhow::Error),
    /// Its watchdog could not be started.
    #[error("no thread could be started for the watchdog")]
    NoWatchdog(#[source] std::io::Error),
}

/// Runs until `stopping` is cancelled; then hands back at once what was not begun, gives calls in flight their time,
/// and leaves the rest in doubt for others.
///
/// # Errors
/// [`WorkerError`] when it ends by itself.
pub async fn run(
    settings: WorkerSettings,
    engine: Engine,
    deliver: Arc<dyn Deliver + 'static>,
    chores: Chores,
    stopping: CancellationToken,
) -> Result<(), WorkerError> {
    // Unique per start: a worker that restarts fast under its old name must not be taken for the old one.
    let name = format!("worker-{}", orchestrator::ids::fresh_uuid().simple());
    // A lease long, an action that blocks its thread is worth waiting for: it may yet end.
    let _watchdog = Watchdog::start(engine.clone(), settings.lease).map_err(WorkerError::NoWatchdog)?;
    let turns = LocalQueue::new();
    let due = LocalQueue::new();
    let slots = Arc::new(Semaphore::new(settings.concurrency));
    let mut beside = vec![
        AbortOnDropHandle::new(tokio::spawn(claimer::keep_leases(engine.clone(), settings.lease))),
        AbortOnDropHandle::new(tokio::spawn(listen(engine.clone()))),
        AbortOnDropHandle::new(tokio::spawn(empty_outbox(engine.clone(), Arc::clone(&deliver)))),
        AbortOnDropHandle::new(tokio::spawn(periodic::claim(engine.pool().clone(), Arc::clone(&chores), due.clone()))),
    ];
    for (destination, at_once) in [(Destination::Outside, OUTSIDE_AT_ONCE_MAX), (Destination::Operators, 1)] {
        if deliver.reaches(destination) {
            let send = || {
                let sending = send_to(destination, engine.clone(), Arc::clone(&deliver));
                AbortOnDropHandle::new(tokio::spawn(sending))
            };
            beside.extend(std::iter::repeat_with(send).take(at_once));
        }
    }
    let claiming = tokio::spawn(claimer::claim(engine.clone(), name.clone(), turns.clone(), slots, stopping.clone()));
    tracing::info!(worker.name = name, worker.concurrency = settings.concurrency, "Worker {name} has started");

    let settle = Settle { engine: engine.clone(), queue: turns.clone(), stopping: stopping.clone() };
    let steps = {
        let (engine, name, concurrency) = (engine.clone(), name.clone(), settings.concurrency);
        move |_restarts| {
            WorkerBuilder::new(name.as_str())
                .backend(QueueBackend { queue: turns.clone(), acknowledge: settle.clone() })
                .data(engine.clone())
                .concurrency(concurrency)
                .catch_panic()
                .build(take_turn)
        }
    };
    let pool = engine.pool().clone();
    let round = move |_restarts| {
        WorkerBuilder::new(format!("{name}-periodic").as_str())
            .backend(QueueBackend { queue: due.clone(), acknowledge: Identity::new() })
            .data(Arc::clone(&chores))
            .data(pool.clone())
            .concurrency(CHORES_AT_ONCE_MAX)
            .catch_panic()
            .build(periodic::run_chore)
    };
    let stop_asked = {
        let stopping = stopping.clone();
        async move {
            stopping.cancelled().await;
            Ok(())
        }
    };
    let ended = Monitor::new()
        .register(steps)
        .register(round)
        .should_restart(|_, _| true)
        .shutdown_timeout(settings.drain)
        .run_with_signal(stop_asked)
        .await;
    // the claimer has handed back what was not begun
    stopping.cancel();
    drop(claiming.await);
    if let Err(error) = engine.hand_back_all().await {
        tracing::warn!(error = %error, "Claims could not be handed back and end with their leases: {error}");
    }
    drop(beside);
    tracing::info!("The worker has stopped");
    ended.map_err(|error| WorkerError::Ended(anyhow::Error::msg(error.to_string())))
}

async fn listen(engine: Engine) {
    engine.listen().await;
}

/// Delivers what is due to what is ours, again and again.
async fn empty_outbox(engine: Engine, deliver: Arc<dyn Deliver>) {
    loop {
        match engine.dispatch_outbox(deliver.as_ref(), Destination::Inside, INSIDE_MESSAGES_MAX).await {
            Ok(0) => drop(tokio::time::timeout(OUTBOX_LOOK_EVERY, engine.something_for_the_outbox()).await),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %error, "The outbox could not be emptied: {error}");
                tokio::time::sleep(OUTBOX_LOOK_EVERY).await;
            }
        }
    }
}

/// Sends what is due to servers that are not ours, one by one, again and again.
async fn send_to(destination: Destination, engine: Engine, deliver: Arc<dyn Deliver>) {
    loop {
        match engine.dispatch_outbox(deliver.as_ref(), destination, 1).await {
            Ok(0) => tokio::time::sleep(OUTSIDE_LOOK_EVERY).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %error, "What leaves the house could not be sent: {error}");
                tokio::time::sleep(OUTSIDE_LOOK_EVERY).await;
            }
        }
    }
}
