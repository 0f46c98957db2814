//! Starting sagas and waiting for their end.

use crate::{actions, cluster::Cost, cluster::Meter, site::Site};
use anyhow::Context;
use orchestrator::Engine;
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Between two looks whether all sagas are finished.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long sagas may take to finish after the last was started.
const PATIENCE: Duration = Duration::from_secs(300);
/// So many sagas run before anything is measured: connections are open, statements prepared, definitions read.
const WARM_UP_SAGAS: u64 = 500;

/// Starts `sagas` from so many concurrent starters, each of which starts its next saga as soon as the last one's start
/// is durable.
pub(crate) async fn start_all(
    engine: &Engine,
    definition: &'static str,
    starters: usize,
    sagas: u64,
) -> anyhow::Result<()> {
    let begun = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for _ in 0..starters {
        let (engine, begun) = (engine.clone(), Arc::clone(&begun));
        running.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < sagas {
                engine.start(actions::start(definition)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// Waits until no saga is owed anything.
pub(crate) async fn wait_until_idle(pool: &PgPool) -> anyhow::Result<()> {
    let began = Instant::now();
    while sqlx::query_scalar("select exists (select from engine.ready)").fetch_one(pool).await? {
        anyhow::ensure!(began.elapsed() < PATIENCE, "sagas have not finished after {PATIENCE:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Makes sure that nothing is done for the first time while it is measured.
pub(crate) async fn warm_up(site: &Site, definition: &'static str) -> anyhow::Result<u64> {
    start_all(&site.engine, definition, 16, WARM_UP_SAGAS).await?;
    wait_until_idle(site.engine.pool()).await?;
    Ok(WARM_UP_SAGAS)
}

/// What `sagas` cost from the first start to the last finish.
pub(crate) async fn run(
    meter: Meter<'_>,
    site: &Site,
    definition: &'static str,
    starters: usize,
    sagas: u64,
) -> anyhow::Result<Cost> {
    start_all(&site.engine, definition, starters, sagas).await?;
    wait_until_idle(site.engine.pool()).await?;
    meter.end().await
}

/// Fails unless exactly so many sagas have been completed since `since`: what is fast and wrong is not measured.
pub(crate) async fn check(pool: &PgPool, since: chrono::DateTime<chrono::Utc>, sagas: u64) -> anyhow::Result<()> {
    let completed: i64 =
        sqlx::query_scalar("select count(*) from engine.saga_states where state = 'completed' and created_at >= $1")
            .bind(since)
            .fetch_one(pool)
            .await
            .context("counting sagas")?;
    anyhow::ensure!(u64::try_from(completed)? == sagas, "{completed} of {sagas} sagas were completed");
    Ok(())
}
