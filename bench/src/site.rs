//! What is measured: an engine in this process that starts sagas, and worker processes that run them.

use crate::{
    cluster::{Cluster, signal},
    worker,
};
use anyhow::Context;
use orchestrator::Engine;
use sqlx::migrate::Migrator;
use std::{fs::OpenOptions, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};

/// As `showrunner migrate` has them.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// How many worker processes run the sagas.
pub(crate) const WORKERS: usize = 2;
/// As `worker.lease_secs` and `worker.drain_secs`.
const LEASE_SECS: u32 = 30;
const DRAIN_SECS: u32 = 20;
/// How long a worker may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine and its workers on a database of their own.
pub(crate) struct Site {
    pub(crate) database: String,
    pub(crate) engine: Engine,
    workers: Vec<Worker>,
}

impl Site {
    /// On a fresh database.
    pub(crate) async fn fresh(cluster: &Cluster) -> anyhow::Result<Self> {
        let database = cluster.fresh_database()?;
        Self::on(cluster, database).await
    }

    /// On a database that may have sagas already.
    pub(crate) async fn on(cluster: &Cluster, database: String) -> anyhow::Result<Self> {
        let engine = engine(cluster, &database).await?;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(Worker::start(cluster, &database, LEASE_SECS, DRAIN_SECS).await?);
        }
        Ok(Self { database, engine, workers })
    }

    /// The worker processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.workers.iter().filter_map(Worker::process).collect()
    }

    /// Stops the workers and closes every connection of ours.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        for worker in self.workers {
            worker.stop().await?;
        }
        self.engine.pool().close().await;
        Ok(())
    }
}

/// An engine that starts sagas, on a database whose schema is brought up to date.
pub(crate) async fn engine(cluster: &Cluster, database: &str) -> anyhow::Result<Engine> {
    let url = cluster.url(database)?;
    let pool = orchestrator::db::connect(&url, 1).await?;
    MIGRATIONS.run(&pool).await.context("bringing the schema up to date")?;
    pool.close().await;
    worker::engine(&url, i32::try_from(LEASE_SECS)?).await
}

/// A worker process, which ends when this value does.
pub(crate) struct Worker {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Worker {
    /// Starts one and waits until it runs sagas.
    pub(crate) async fn start(
        cluster: &Cluster,
        database: &str,
        lease_secs: u32,
        drain_secs: u32,
    ) -> anyhow::Result<Self> {
        let log = cluster.out().join("worker.log");
        let log = OpenOptions::new().create(true).append(true).open(&log).context("opening the workers' log")?;
        let mut command = Command::new(std::env::current_exe().context("finding our own binary")?);
        command.arg("worker").env("DATABASE_URL", cluster.url(database)?);
        command.args(["--lease-secs", &lease_secs.to_string(), "--drain-secs", &drain_secs.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().context("starting a worker")?;
        let lifeline = child.stdin.take();
        let mut said = BufReader::new(child.stdout.take().context("a worker without standard output")?);
        let mut line = String::new();
        let reading = tokio::time::timeout(PATIENCE, said.read_line(&mut line));
        reading.await.context("a worker did not begin")??;
        anyhow::ensure!(line.trim() == worker::READY, "a worker did not begin: see worker.log");
        Ok(Self { child, lifeline })
    }

    /// Its process, while it lives.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets it drain and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.lifeline.take());
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("a worker did not end")??;
        Ok(())
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("killing a worker")
    }

    /// SIGTERM; it ends by itself.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        signal("TERM", self.process().context("the worker has ended already")?)
    }
}
