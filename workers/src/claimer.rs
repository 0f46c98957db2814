//! Fills the local queue: claims as many sagas as there are free slots, and keeps their leases.

use crate::{queue::LocalQueue, turns::Turn};
use orchestrator::Engine;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many sagas one claim takes at most.
const CLAIM_SAGAS_MAX: usize = 128;
/// Without a hint, we look this often: timers are due, and hints may be lost.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After an error of the database.
const TROUBLE_PAUSE: Duration = Duration::from_millis(500);

/// Claims until `stopping`; what it claimed and nobody began is then handed back at once.
pub(crate) async fn claim(
    engine: Engine,
    worker: String,
    queue: LocalQueue<Turn>,
    slots: Arc<Semaphore>,
    stopping: CancellationToken,
) {
    while stopping.run_until_cancelled(claim_once(&engine, &worker, &queue, &slots)).await.is_some() {}
    let unbegun: Vec<_> = queue.drain().into_iter().map(|turn| turn.claimed).collect();
    if let Err(error) = engine.hand_back(unbegun).await {
        tracing::warn!(error = %error, "Claims could not be handed back and end with their leases: {error}");
    }
}

async fn claim_once(engine: &Engine, worker: &str, queue: &LocalQueue<Turn>, slots: &Arc<Semaphore>) {
    let Ok(first) = Arc::clone(slots).acquire_owned().await else { return };
    let mut free = vec![first];
    while free.len() < CLAIM_SAGAS_MAX
        && let Ok(slot) = Arc::clone(slots).try_acquire_owned()
    {
        free.push(slot);
    }
    let wanted = free.len();
    // In a task of its own: a claim that is cut off by the stop would wait for its lease.
    let claiming = {
        let (engine, worker) = (engine.clone(), worker.to_owned());
        tokio::spawn(async move { engine.claim(&worker, wanted).await })
    };
    match claiming.await {
        Ok(Ok(claimed)) => {
            metrics::counter!("showrunner_claims_total").increment(u64::try_from(claimed.len()).unwrap_or(u64::MAX));
            let none = claimed.is_empty();
            for (claimed, slot) in claimed.into_iter().zip(free) {
                queue.push(Turn { claimed, slot: Arc::new(slot) });
            }
            if none {
                // a hint or the time, whichever comes first
                drop(tokio::time::timeout(LOOK_EVERY, engine.something_committed()).await);
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "Sagas could not be claimed: {error}");
            tokio::time::sleep(TROUBLE_PAUSE).await;
        }
        Err(error) => tracing::error!(error = %error, "Claiming broke off: {error}"),
    }
}

/// Renews all leases three times in their length, until it is dropped.
pub(crate) async fn keep_leases(engine: Engine, lease: Duration) {
    let mut ticks = tokio::time::interval(lease / 3);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = engine.keep_leases().await {
            tracing::warn!(error = %error, "Leases could not be renewed: {error}");
        }
    }
}
