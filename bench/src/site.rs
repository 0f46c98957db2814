//! What is measured: an engine in this process that starts sagas, and worker processes that run them.

use crate::{
    cluster::{Cluster, signal},
    worker,
};
use anyhow::Context;
use orchestrator::{Engine, EngineSettings, LOCAL_STEPS_MAX};
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
/// As the real binary's workers are set.
pub(crate) const USUAL: Setting = Setting { lease_secs: 30, drain_secs: 20, local_steps_max: LOCAL_STEPS_MAX };
/// How long a worker may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What workers are set to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) lease_secs: u32,
    pub(crate) drain_secs: u32,
    pub(crate) local_steps_max: u32,
}

/// An engine and its workers on a database of their own.
pub(crate) struct Site {
    pub(crate) database: String,
    pub(crate) engine: Engine,
    workers: Vec<Worker>,
}

impl Site {
    /// On a fresh database.
    pub(crate) async fn fresh(cluster: &Cluster) -> anyhow::Result<Self> {
        Self::on(cluster, cluster.fresh_database()?).await
    }

    /// On a fresh database, with a transaction for each step also where steps are local.
    pub(crate) async fn step_by_step(cluster: &Cluster) -> anyhow::Result<Self> {
        Self::start(cluster, cluster.fresh_database()?, Setting { local_steps_max: 1, ..USUAL }).await
    }

    /// On a database that may have sagas already.
    pub(crate) async fn on(cluster: &Cluster, database: String) -> anyhow::Result<Self> {
        Self::start(cluster, database, USUAL).await
    }

    async fn start(cluster: &Cluster, database: String, setting: Setting) -> anyhow::Result<Self> {
        let engine = engine(cluster, &database).await?;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(Worker::start(cluster, &database, setting).await?);
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
    let settings = EngineSettings { lease_secs: i32::try_from(USUAL.lease_secs)?, ..EngineSettings::default() };
    worker::engine(&url, settings).await
}

/// A worker process, which ends when this value does.
pub(crate) struct Worker {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Worker {
    /// Starts one and waits until it runs sagas.
    pub(crate) async fn start(cluster: &Cluster, database: &str, setting: Setting) -> anyhow::Result<Self> {
        let log = cluster.out().join("worker.log");
        let log = OpenOptions::new().create(true).append(true).open(&log).context("opening the workers' log")?;
        let mut command = Command::new(std::env::current_exe().context("finding our own binary")?);
        command.arg("worker").env("DATABASE_URL", cluster.url(database)?);
        for (option, value) in [
            ("--lease-secs", setting.lease_secs),
            ("--drain-secs", setting.drain_secs),
            ("--local-steps-max", setting.local_steps_max),
        ] {
            command.args([option, &value.to_string()]);
        }
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
