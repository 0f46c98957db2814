//! The private PostgreSQL that everything is measured on, and what it tells of itself.

use crate::{cpu, options::Measure, output::progress};
use anyhow::Context;
use private_servers::{DataDir, Durability, Existing, PrivatePostgres};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The database from which the server is asked about itself.
const MAINTENANCE: &str = "postgres";

/// A fresh server with `fsync` and `synchronous_commit` on.
pub(crate) struct Cluster {
    // before its directory, so that it has stopped when that is wiped
    postgres: Option<PrivatePostgres>,
    home: DataDir,
    out: PathBuf,
    admin: PgPool,
    databases: AtomicU32,
}

impl Cluster {
    /// Starts one without any data, below the directory for results: on the disk that is to be measured.
    pub(crate) fn start(measure: &Measure) -> anyhow::Result<Self> {
        let home = DataDir::open(&measure.out.join("postgres"), Existing::Wipe)?;
        let postgres = blocking(|| PrivatePostgres::start(&home, Durability::Durable))?;
        let admin = PgPoolOptions::new().max_connections(2).connect_lazy(&postgres.database_url(MAINTENANCE))?;
        Ok(Self { postgres: Some(postgres), home, out: measure.out.clone(), admin, databases: AtomicU32::new(0) })
    }

    fn server(&self) -> anyhow::Result<&PrivatePostgres> {
        self.postgres.as_ref().context("the server has been stopped")
    }

    /// Where results and logs go.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// A connection to the server itself.
    pub(crate) fn admin(&self) -> &PgPool {
        &self.admin
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> anyhow::Result<String> {
        Ok(self.server()?.database_url(database))
    }

    /// Makes a new, empty database and gives its name.
    pub(crate) fn fresh_database(&self) -> anyhow::Result<String> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        blocking(|| self.server()?.ensure_database(&name).map_err(anyhow::Error::from))?;
        Ok(name)
    }

    /// Drops a database that nobody needs any more.
    pub(crate) fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        let statement = format!("drop database \"{name}\" with (force)");
        blocking(|| self.server()?.psql(MAINTENANCE, &["-c", &statement]).map_err(anyhow::Error::from))?;
        Ok(())
    }

    /// One of the programs that came with the server.
    pub(crate) async fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory: String =
            sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'").fetch_one(&self.admin).await?;
        Ok(Path::new(&directory).join(name))
    }

    /// Writes everything to disk, so that no measurement pays for what came before it.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        sqlx::query("checkpoint").execute(&self.admin).await?;
        Ok(())
    }

    /// The process that all others of the server come from.
    pub(crate) async fn postmaster(&self) -> anyhow::Result<u32> {
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&self.admin).await?;
        cpu::parent(u32::try_from(backend)?)
    }

    /// How many bytes of log have ever been written.
    pub(crate) async fn wal_bytes(&self) -> anyhow::Result<f64> {
        let bytes: i64 = sqlx::query_scalar("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8")
            .fetch_one(&self.admin)
            .await?;
        Ok(bytes as f64)
    }

    /// How many transactions a database has committed, and how often the log was synced. Current once the connections
    /// that did it are closed.
    pub(crate) async fn commits_and_syncs(&self, database: &str) -> anyhow::Result<(i64, i64)> {
        let counted = sqlx::query_as(
            "select xact_commit, (select wal_sync from pg_stat_wal) from pg_stat_database where datname = $1",
        );
        Ok(counted.bind(database).fetch_one(&self.admin).await?)
    }

    /// What the server is, and every setting that is not PostgreSQL's own default.
    pub(crate) async fn settings(&self) -> anyhow::Result<Vec<(String, String)>> {
        Ok(sqlx::query_as(
            "select name, current_setting(name) from pg_settings
             where name in ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method')
                or (source in ('configuration file', 'command line') and setting is distinct from boot_val
                    and name not like 'lc\\_%' and name not in ('unix_socket_directories', 'config_file'))
             order by name",
        )
        .fetch_all(&self.admin)
        .await?)
    }

    /// Loads a library into the server, which is restarted for it.
    pub(crate) fn load_library(&mut self, library: &str) -> anyhow::Result<()> {
        let statement = format!("alter system set shared_preload_libraries = '{library}'");
        blocking(|| self.server()?.psql(MAINTENANCE, &["-c", &statement]).map_err(anyhow::Error::from))?;
        blocking(|| drop(self.postgres.take()));
        self.postgres = Some(blocking(|| PrivatePostgres::start(&self.home, Durability::Durable))?);
        Ok(())
    }

    /// Stops the server as `pg_ctl stop -m immediate` does, and starts it again. Gives how long nobody was answered.
    pub(crate) async fn crash(&mut self) -> anyhow::Result<Duration> {
        let postmaster = self.postmaster().await?;
        let began = Instant::now();
        signal("QUIT", postmaster)?;
        blocking(|| drop(self.postgres.take()));
        self.postgres = Some(blocking(|| PrivatePostgres::start(&self.home, Durability::Durable))?);
        Ok(began.elapsed())
    }

    /// Stops the server and removes its data.
    pub(crate) fn wipe(self) -> anyhow::Result<()> {
        let Self { postgres, home, .. } = self;
        let path = home.path().to_owned();
        blocking(|| {
            drop(postgres);
            drop(home);
            DataDir::open(&path, Existing::Wipe).map(drop).context("wiping the database's files")
        })
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    let process = process.to_string();
    let sent = Command::new("/bin/sh").args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &process]).status()?;
    anyhow::ensure!(sent.success(), "{name} could not be sent to process {process}");
    Ok(())
}

/// Runs what blocks without keeping the runtime's other work from going on.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// What a stretch of work has cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) wal_bytes: f64,
    /// Of this process and the workers.
    pub(crate) ours_ms: f64,
    /// Of all processes of the server.
    pub(crate) postgres_ms: f64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            wal_bytes: self.wal_bytes + other.wal_bytes,
            ours_ms: self.ours_ms + other.ours_ms,
            postgres_ms: self.postgres_ms + other.postgres_ms,
        }
    }
}

/// Reads all meters at the beginning and at the end of something.
pub(crate) struct Meter<'a> {
    cluster: &'a Cluster,
    processes: Vec<u32>,
    postmaster: u32,
    began: Instant,
    before: Cost,
}

impl<'a> Meter<'a> {
    /// Begins, after everything from before is on disk. `workers` count as ours.
    pub(crate) async fn begin(cluster: &'a Cluster, workers: Vec<u32>) -> anyhow::Result<Self> {
        cluster.settle().await?;
        let postmaster = cluster.postmaster().await?;
        let mut processes = workers;
        processes.push(std::process::id());
        let mut meter = Self { cluster, processes, postmaster, began: Instant::now(), before: Cost::default() };
        meter.before = meter.read().await?;
        meter.began = Instant::now();
        Ok(meter)
    }

    /// What it has cost.
    pub(crate) async fn end(self) -> anyhow::Result<Cost> {
        let seconds = self.began.elapsed().as_secs_f64();
        let after = self.read().await?;
        Ok(Cost {
            seconds,
            wal_bytes: after.wal_bytes - self.before.wal_bytes,
            ours_ms: after.ours_ms - self.before.ours_ms,
            postgres_ms: after.postgres_ms - self.before.postgres_ms,
        })
    }

    async fn read(&self) -> anyhow::Result<Cost> {
        let wal_bytes = self.cluster.wal_bytes().await?;
        let ours = self.processes.iter().map(|process| cpu::process_ms(*process));
        let ours_ms = ours.sum::<anyhow::Result<f64>>().context("a worker has ended")?;
        Ok(Cost { seconds: 0.0, wal_bytes, ours_ms, postgres_ms: cpu::server_ms(self.postmaster)? })
    }
}

/// Which kind of file system a directory is on: one in memory has no disk to wait for.
pub(crate) fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let of = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        path.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    let kind = of.max_by_key(|(length, _)| *length).map(|(_, kind)| kind);
    if kind.as_deref() == Some("tmpfs") {
        progress("warning: the database's files are in memory; commits cost nothing there");
    }
    kind
}
