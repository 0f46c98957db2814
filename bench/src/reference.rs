//! What the same server does with the least that a saga must write: insert the saga; four times, insert a journal row
//! and update the saga. In a database of its own, with payloads as large as the measured sagas'.

mod batched;
mod commits;
mod pgbench;

use crate::{actions::Receipt, cluster::Cluster, options::Measure, output::progress};
use anyhow::Context;
use orchestrator::ids::fresh_uuid;
pub(crate) use pgbench::Script;
use serde_json::json;
use sqlx::{Connection, PgConnection};

/// Clients of pgbench that are tried out.
const CLIENTS: [usize; 4] = [16, 32, 64, 128];
/// Writers of batches that are tried out.
const WRITERS: [usize; 4] = [1, 2, 4, 8];
/// Where nothing is tried out.
const CLIENTS_USUAL: usize = 64;
const WRITERS_USUAL: usize = 4;
/// How long each number is tried out, in seconds.
const TRY_SECS: u32 = 2;

const TABLES: &str = "
    create table sagas (
        saga_id bigint generated always as identity primary key,
        definition text not null,
        state text not null,
        step text,
        seq bigint not null,
        input jsonb not null,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
    );
    create table journal (
        saga_id bigint not null,
        seq bigint not null,
        at timestamptz not null default now(),
        kind text not null,
        step text,
        entry jsonb not null,
        primary key (saga_id, seq)
    );
    create table commits (id bigint generated always as identity primary key, payload jsonb not null);
";

/// What a saga is doing after each of its four moves.
const MOVES: [(&str, Option<&str>, &str); 4] = [
    ("hold", Some("pay"), "running"),
    ("pay", Some("commit"), "running"),
    ("commit", Some("issue"), "running"),
    ("issue", None, "completed"),
];

/// The reference's database, and how many clients suit it best.
pub(crate) struct Reference<'a> {
    cluster: &'a Cluster,
    database: String,
    input: serde_json::Value,
    entry: serde_json::Value,
    clients: usize,
    writers: usize,
}

impl<'a> Reference<'a> {
    /// With nothing tried out.
    pub(crate) async fn new(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let database = cluster.fresh_database()?;
        let mut connection = PgConnection::connect(&cluster.url(&database)?).await?;
        sqlx::raw_sql(TABLES).execute(&mut connection).await.context("making the reference's tables")?;
        connection.close().await?;
        let receipt = Receipt::of(format!("sag_{}:commit", fresh_uuid()));
        Ok(Self {
            cluster,
            database,
            input: crate::actions::start("").input,
            entry: json!({ "kind": "done", "step": "commit", "attempt": 1, "output": receipt }),
            clients: CLIENTS_USUAL,
            writers: WRITERS_USUAL,
        })
    }

    /// Finds the number of clients and of writers that suit it best.
    pub(crate) async fn tune(&mut self) -> anyhow::Result<()> {
        let mut best = 0.0;
        for clients in CLIENTS {
            let rate = pgbench::run(self, Script::CommitPerStep, clients, TRY_SECS).await?;
            progress(&format!("  one commit per step, {clients} clients: {rate:.0} sagas/s"));
            if rate > best {
                (best, self.clients) = (rate, clients);
            }
        }
        best = 0.0;
        for writers in WRITERS {
            let rate = batched::run(self, writers, TRY_SECS).await?;
            progress(&format!("  batched, {writers} writers: {rate:.0} sagas/s"));
            if rate > best {
                (best, self.writers) = (rate, writers);
            }
        }
        Ok(())
    }

    /// Sagas per second by pgbench.
    pub(crate) async fn by_pgbench(&self, script: Script, measure: &Measure) -> anyhow::Result<f64> {
        pgbench::run(self, script, self.clients, measure.seconds()).await
    }

    /// Sagas per second, 100 of them a transaction.
    pub(crate) async fn batched(&self, measure: &Measure) -> anyhow::Result<f64> {
        batched::run(self, self.writers, measure.seconds()).await
    }

    /// How long five commits take, one after another, in milliseconds: one sample for each time.
    pub(crate) async fn five_commits(&self, measure: &Measure) -> anyhow::Result<Vec<f64>> {
        commits::five(self, measure.pace_time() / 2).await
    }

    /// How many clients and writers it runs with.
    pub(crate) fn chosen(&self) -> (usize, usize) {
        (self.clients, self.writers)
    }

    async fn empty(&self) -> anyhow::Result<PgConnection> {
        let mut connection = PgConnection::connect(&self.cluster.url(&self.database)?).await?;
        sqlx::raw_sql("truncate sagas, journal, commits").execute(&mut connection).await?;
        self.cluster.settle().await?;
        Ok(connection)
    }
}
