//! From start to finish at a steady 50 starts a second, beside five sequential commits.
//!
//! Starts are issued by a clock that waits for nobody, and a saga's time counts from when its start was issued. It ends
//! when another connection sees the saga finished: one that asks for the few that are under way, by their key, once a
//! millisecond. `finished_at` alone would flatter: it is written before the last commit is on its way to disk.

use crate::{
    actions,
    cluster::Cluster,
    load,
    options::Measure,
    output::progress,
    reference::Reference,
    report::Report,
    site::Site,
    spread::{Spread, percentile},
};
use anyhow::Context;
use orchestrator::SagaId;
use sqlx::{Connection, PgConnection};
use std::{
    collections::HashMap,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant, SystemTime},
};
use tokio::task::JoinSet;

/// How many sagas are started in a second.
pub(crate) const STARTS_PER_SECOND: u32 = 50;
/// Between two looks at what is under way.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long a saga may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A saga whose start was issued.
struct Issued {
    saga_id: SagaId,
    at: Instant,
    wall: SystemTime,
}

/// How long it took, in milliseconds.
struct Finished {
    /// Until its end was seen.
    seen: f64,
    /// Until `finished_at`, by the database's clock, which is this machine's.
    written: f64,
}

/// Measures and reports.
pub(crate) async fn measure(cluster: &Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let reference = Reference::new(cluster).await?;
    let (mut fives, mut rounds) = (Vec::new(), Vec::new());
    for round in 1..=measure.rounds() {
        let five = percentile(&reference.five_commits(measure).await?, 0.5);
        let site = Site::fresh(cluster).await?;
        load::warm_up(&site, actions::LOCAL).await?;
        cluster.settle().await?;
        let finished = steady(cluster, &site, measure.pace_time()).await?;
        let database = site.database.clone();
        site.close().await?;
        cluster.drop_database(&database)?;
        progress(&format!("round {round}: five commits {five:.2} ms, a saga {:.2} ms", seen(&finished, 0.5)));
        fives.push(five);
        rounds.push(finished);
    }
    let of = |share| Spread::of(rounds.iter().map(|finished| seen(finished, share)));
    report.add("p50_ms", "ms", 2, of(0.5));
    report.add("p99_ms", "ms", 2, of(0.99));
    let written =
        |finished: &Vec<Finished>| percentile(&finished.iter().map(|saga| saga.written).collect::<Vec<_>>(), 0.5);
    report.add("p50_until_finished_at_ms", "ms", 2, Spread::of(rounds.iter().map(written)));
    report.add("five_commits_ms", "ms", 2, Spread::of(fives.iter().copied()));
    let against = rounds.iter().zip(&fives).map(|(finished, five)| seen(finished, 0.5) / five);
    report.add("p50_vs_five_commits", "×", 2, Spread::of(against));
    Ok(())
}

fn seen(finished: &[Finished], share: f64) -> f64 {
    percentile(&finished.iter().map(|saga| saga.seen).collect::<Vec<_>>(), share)
}

/// Starts sagas at the pace for `time`, and gives what became of each.
async fn steady(cluster: &Cluster, site: &Site, time: Duration) -> anyhow::Result<Vec<Finished>> {
    let (issued, under_way) = mpsc::channel();
    let url = cluster.url(&site.database)?;
    let observer = thread::spawn(move || observe(&url, &under_way));
    let mut starting = pace(site, issued, time).await?;
    while let Some(ended) = starting.join_next().await {
        ended??;
    }
    // every sender is gone: the observer ends with the last saga
    let finished = tokio::task::block_in_place(|| observer.join());
    finished.map_err(|_| anyhow::anyhow!("the observer panicked"))?
}

/// Issues starts from a thread of its own, whose sleep is exact where a timer of the runtime's is not.
async fn pace(site: &Site, issued: Sender<Issued>, time: Duration) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let engine = site.engine.clone();
    let runtime = tokio::runtime::Handle::current();
    let pacing = tokio::task::spawn_blocking(move || {
        let mut starting = JoinSet::new();
        let between = Duration::from_secs(1) / STARTS_PER_SECOND;
        let began = Instant::now();
        let mut due = began;
        while due - began < time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (engine, issued) = (engine.clone(), issued.clone());
            let (at, wall) = (Instant::now(), SystemTime::now());
            let start = async move {
                let saga_id = engine.start(actions::start(actions::LOCAL)).await?.saga_id();
                issued.send(Issued { saga_id, at, wall }).context("the observer has ended")
            };
            starting.spawn_on(start, &runtime);
            due += between;
        }
        starting
    });
    Ok(pacing.await?)
}

/// Sees sagas finish, on a connection of its own.
fn observe(url: &str, under_way: &Receiver<Issued>) -> anyhow::Result<Vec<Finished>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut connection = runtime.block_on(PgConnection::connect(url))?;
    let mut open: HashMap<uuid::Uuid, Issued> = HashMap::new();
    let mut finished = Vec::new();
    loop {
        if open.is_empty() {
            let Ok(issued) = under_way.recv() else { return Ok(finished) };
            open.insert(issued.saga_id.0, issued);
        }
        open.extend(under_way.try_iter().map(|issued| (issued.saga_id.0, issued)));
        for (saga_id, written) in runtime.block_on(ended(&mut connection, &open))? {
            let Some(issued) = open.remove(&saga_id) else { continue };
            finished.push(Finished {
                seen: issued.at.elapsed().as_secs_f64() * 1_000.0,
                written: SystemTime::from(written).duration_since(issued.wall)?.as_secs_f64() * 1_000.0,
            });
        }
        anyhow::ensure!(open.values().all(|issued| issued.at.elapsed() < PATIENCE), "a saga has not finished");
        thread::sleep(LOOK_EVERY);
    }
}

type Ended = (uuid::Uuid, chrono::DateTime<chrono::Utc>);

async fn ended(connection: &mut PgConnection, open: &HashMap<uuid::Uuid, Issued>) -> Result<Vec<Ended>, sqlx::Error> {
    sqlx::query_as(
        "select saga_id, finished_at from engine.saga_states where saga_id = any($1) and finished_at is not null",
    )
    .bind(open.keys().copied().collect::<Vec<_>>())
    .fetch_all(connection)
    .await
}
