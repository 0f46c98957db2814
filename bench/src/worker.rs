//! `bench worker`: one of the worker processes. It is what `showrunner worker` is, with the measured sagas' actions
//! instead of our business: the same runner under apalis, connections, periodic work of the engine, metrics and logs.

use crate::{
    actions::{self, DOCUMENTS},
    options::WorkerOptions,
    output,
};
use anyhow::Context;
use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusBuilder;
use orchestrator::{Engine, EngineSettings, NoProjection, db, outbox::Deliver};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use workers::{Chore, Chores, WorkerSettings};

/// What it says once it is about to run sagas.
pub(crate) const READY: &str = "ready";
/// As many connections as one process of the real binary holds.
pub(crate) const CONNECTIONS_MAX: u32 = 32;
/// As `worker.concurrency`.
const CONCURRENCY: usize = 256;
/// As in the real binary.
const KEYS_KEPT: Duration = Duration::from_secs(30 * 86_400);
const ROWS_PER_RUN: i64 = 10_000;

/// Runs until its standard input ends or it is told to stop.
pub(crate) async fn run(options: WorkerOptions) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).json().flatten_event(true).init();
    PrometheusBuilder::new().install_recorder().context("collecting metrics")?;
    let stopping = stopping()?;
    let settings = EngineSettings {
        lease_secs: i32::try_from(options.lease_secs)?,
        local_steps_max: options.local_steps_max,
        ..EngineSettings::default()
    };
    let engine = engine(&options.database_url, settings).await?;
    output::result(READY);
    let settings = WorkerSettings {
        concurrency: CONCURRENCY,
        lease: Duration::from_secs(options.lease_secs.into()),
        drain: Duration::from_secs(options.drain_secs.into()),
    };
    workers::run(settings, engine.clone(), Arc::new(Nobody), chores(&engine), stopping).await?;
    Ok(())
}

/// An engine with the measured sagas, on a database that has the schema.
pub(crate) async fn engine(database_url: &str, settings: EngineSettings) -> anyhow::Result<Engine> {
    let pool = db::connect(database_url, CONNECTIONS_MAX).await.context("connecting")?;
    let engine = Engine::new(settings, pool, Arc::new(actions::registry()?), Arc::new(NoProjection));
    engine.catalog().bring_along(&DOCUMENTS).await.context("bringing definitions along")?;
    Ok(engine)
}

/// The engine's own periodic work, as the real binary does it.
fn chores(engine: &Engine) -> Chores {
    let (sweep, partitions, keys) = (engine.clone(), engine.clone(), engine.pool().clone());
    Arc::from([
        Chore::new("sweep-sagas", Duration::from_secs(5), move || {
            let engine = sweep.clone();
            async move { Ok(engine.sweep().await.map(drop)?) }
        }),
        Chore::new("make-partitions", Duration::from_secs(3_600), move || {
            let engine = partitions.clone();
            async move {
                engine.make_partitions().await?;
                Ok(())
            }
        }),
        Chore::new("expire-start-keys", Duration::from_secs(600), move || {
            let pool = keys.clone();
            async move { Ok(orchestrator::start::expire_keys(&pool, KEYS_KEPT, ROWS_PER_RUN).await.map(drop)?) }
        }),
    ])
}

/// Cancelled at SIGTERM, and when standard input ends: the other end of the pipe is our parent's.
fn stopping() -> anyhow::Result<CancellationToken> {
    let stopping = CancellationToken::new();
    let told = stopping.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut nothing = [0_u8; 8];
        let mut stdin = tokio::io::stdin();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = stdin.read(&mut nothing) => {}
        }
        told.cancel();
    });
    Ok(stopping)
}

/// The measured sagas send nothing to anybody.
struct Nobody;

#[async_trait]
impl Deliver for Nobody {
    async fn deliver(&self, topic: &str, _: &Value) -> Result<(), anyhow::Error> {
        anyhow::bail!("nobody takes {topic}")
    }
}
