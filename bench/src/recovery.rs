//! How soon sagas move again: after a worker was killed, after one was asked to stop, after PostgreSQL came back.
//!
//! A saga has moved when its journal has an entry that its new worker wrote, by the database's clock, which is this
//! machine's. Of many sagas the last one counts.

use crate::{
    actions,
    cluster::Cluster,
    options::Measure,
    output::progress,
    report::Report,
    site::{self, Setting, USUAL, Worker},
    spread::Spread,
};
use anyhow::Context;
use chrono::{DateTime, Utc};
use orchestrator::{Engine, StartError};
use serde_json::json;
use sqlx::PgPool;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::task::AbortOnDropHandle;

/// A claim lasts less than the usual 30 s here, so that a round is short, and calls take longer than a worker that is
/// asked to stop waits for them.
const SETTING: Setting = Setting { lease_secs: 5, drain_secs: 1, ..USUAL };
/// How many sagas are in the middle of a call when something dies.
const SAGAS: usize = 40;
/// How long such a call takes.
const CALL_MS: u64 = 20_000;
/// How long the calls take that go on while PostgreSQL is away.
const SHORT_CALL_MS: u64 = 50;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One round's times, in seconds.
struct Times {
    killed_after_kill: f64,
    killed_after_lease: f64,
    terminated_after_hand_back: f64,
    terminated_after_signal: f64,
    postgres_away: f64,
    postgres_until_success: f64,
}

/// Measures and reports.
pub(crate) async fn measure(cluster: &mut Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for round in 1..=measure.rounds() {
        let (killed_after_kill, killed_after_lease) = killed(cluster).await.context("killing a worker")?;
        let (terminated_after_signal, terminated_after_hand_back) =
            terminated(cluster).await.context("stopping a worker")?;
        let (postgres_away, postgres_until_success) = restarted(cluster).await.context("restarting PostgreSQL")?;
        progress(&format!(
            "round {round}: killed {killed_after_lease:+.2} s after the lease, handed back \
             {terminated_after_hand_back:+.2} s, PostgreSQL back {postgres_until_success:+.2} s"
        ));
        rounds.push(Times {
            killed_after_kill,
            killed_after_lease,
            terminated_after_hand_back,
            terminated_after_signal,
            postgres_away,
            postgres_until_success,
        });
    }
    report.note("lease_secs", SETTING.lease_secs);
    report.note("drain_secs", SETTING.drain_secs);
    report.note("sagas_in_calls", SAGAS);
    let mut add = |name: &str, of: fn(&Times) -> f64| report.add(name, "s", 3, Spread::of(rounds.iter().map(of)));
    add("killed_moves_after_lease_s", |times| times.killed_after_lease);
    add("killed_moves_after_kill_s", |times| times.killed_after_kill);
    add("terminated_moves_after_hand_back_s", |times| times.terminated_after_hand_back);
    add("terminated_moves_after_signal_s", |times| times.terminated_after_signal);
    add("postgres_first_success_after_back_s", |times| times.postgres_until_success);
    add("postgres_away_s", |times| times.postgres_away);
    Ok(())
}

/// Two workers, of which one is in the middle of a call for every saga.
struct Stage {
    database: String,
    engine: Engine,
    busy: Worker,
    other: Worker,
}

impl Stage {
    async fn new(cluster: &Cluster) -> anyhow::Result<Self> {
        let database = cluster.fresh_database()?;
        let engine = site::engine(cluster, &database).await?;
        let busy = Worker::start(cluster, &database, SETTING).await?;
        for _ in 0..SAGAS {
            engine.start(actions::start_with(actions::SLOW, json!({ "ms": CALL_MS }))).await?;
        }
        let in_calls = i64::try_from(SAGAS)?;
        until(|| async {
            let intended: i64 = sqlx::query_scalar("select count(*) from engine.journal where kind = 'intended'")
                .fetch_one(engine.pool())
                .await?;
            Ok((intended == in_calls).then_some(()))
        })
        .await
        .context("waiting for all calls to begin")?;
        let other = Worker::start(cluster, &database, SETTING).await?;
        Ok(Self { database, engine, busy, other })
    }
}

/// When each saga that was left in a call moved again after `since`.
async fn moved_again(pool: &PgPool, since: DateTime<Utc>) -> anyhow::Result<Vec<(uuid::Uuid, DateTime<Utc>)>> {
    until(|| async {
        let moved: Vec<_> =
            sqlx::query_as("select saga_id, min(at) from engine.journal where at > $1 group by saga_id")
                .bind(since)
                .fetch_all(pool)
                .await?;
        Ok((moved.len() == SAGAS).then_some(moved))
    })
    .await
    .context("waiting for all sagas to move again")
}

/// Kills a worker. Gives when the last of its sagas moved again: after the kill, and after its own lease's end.
async fn killed(cluster: &Cluster) -> anyhow::Result<(f64, f64)> {
    let Stage { database, engine, busy, other } = Stage::new(cluster).await?;
    busy.kill().await?;
    let at = now();
    let leases: Vec<(uuid::Uuid, DateTime<Utc>)> =
        sqlx::query_as("select saga_id, lease_until from engine.ready").fetch_all(engine.pool()).await?;
    let moved = moved_again(engine.pool(), at).await?;
    let after_lease = leases.iter().filter_map(|(saga_id, until)| {
        let (_, moved) = moved.iter().find(|(moved, _)| moved == saga_id)?;
        Some(seconds(*until, *moved))
    });
    let times = (last(moved.iter().map(|(_, moved)| seconds(at, *moved))), last(after_lease));
    close(cluster, &database, engine, other).await?;
    Ok(times)
}

/// Asks a worker to stop. Gives when the last of its sagas moved again: after the signal, and after it was handed back.
async fn terminated(cluster: &Cluster) -> anyhow::Result<(f64, f64)> {
    let Stage { database, engine, busy, other } = Stage::new(cluster).await?;
    let worker: String = sqlx::query_scalar("select worker from engine.ready limit 1").fetch_one(engine.pool()).await?;
    let at = now();
    busy.terminate()?;
    let handed_back = until(|| async {
        let held: bool = sqlx::query_scalar("select exists (select from engine.ready where worker = $1)")
            .bind(&worker)
            .fetch_one(engine.pool())
            .await?;
        Ok((!held).then(now))
    })
    .await
    .context("waiting for the sagas to be handed back")?;
    let moved = moved_again(engine.pool(), at).await?;
    let after = |since: DateTime<Utc>| last(moved.iter().map(|(_, moved)| seconds(since, *moved)));
    let times = (after(at), after(handed_back));
    busy.stop().await?;
    close(cluster, &database, engine, other).await?;
    Ok(times)
}

/// Restarts PostgreSQL at once, as a crash would, under sagas that go on. Gives how long it was away, and when the
/// first move was made after it answered again.
async fn restarted(cluster: &mut Cluster) -> anyhow::Result<(f64, f64)> {
    let database = cluster.fresh_database()?;
    let engine = site::engine(cluster, &database).await?;
    let one = Worker::start(cluster, &database, SETTING).await?;
    let two = Worker::start(cluster, &database, SETTING).await?;
    let starting: Vec<_> =
        (0..4).map(|_| AbortOnDropHandle::new(tokio::spawn(keep_starting(engine.clone())))).collect();
    until(|| async { Ok(first_move(engine.pool(), DateTime::UNIX_EPOCH).await?.map(drop)) }).await?;
    let away = cluster.crash().await?;
    let back = now();
    // an error means that our own connections are not well again yet
    let moved = until(|| async { Ok(first_move(engine.pool(), back).await.ok().flatten()) }).await?;
    drop(starting);
    crate::load::wait_until_idle(engine.pool()).await.context("after PostgreSQL came back")?;
    two.stop().await?;
    close(cluster, &database, engine, one).await?;
    Ok((away.as_secs_f64(), seconds(back, moved)))
}

/// Starts sagas one after another, and goes on when that fails.
async fn keep_starting(engine: Engine) {
    loop {
        let started: Result<_, StartError> =
            engine.start(actions::start_with(actions::SLOW, json!({ "ms": SHORT_CALL_MS }))).await;
        if started.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn first_move(pool: &PgPool, since: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar("select min(at) from engine.journal where at > $1 and seq > 1").bind(since).fetch_one(pool).await
}

/// Everything that was held up is carried out by nobody: the calls would take too long.
async fn close(cluster: &Cluster, database: &str, engine: Engine, worker: Worker) -> anyhow::Result<()> {
    worker.kill().await?;
    anyhow::ensure!(engine.violations().await?.is_empty(), "an invariant is broken after a death");
    engine.pool().close().await;
    cluster.drop_database(database)
}

/// Looks again and again until there is something to see.
async fn until<T, F, Fut>(look: F) -> anyhow::Result<T>
where
    F: Fn() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("nothing has happened for {PATIENCE:?}")
}

/// The database's clock and this process's are the same machine's.
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

fn last(times: impl Iterator<Item = f64>) -> f64 {
    times.fold(f64::NEG_INFINITY, f64::max)
}
