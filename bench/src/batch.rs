//! What it takes to mend fifteen thousand sagas that one cause has stopped: how long the dry run is, and how many a
//! second a batch mends, beside how many a second the same processes started and stopped.

use crate::{cluster::Cluster, house::House, options::Measure, output::progress, report::Report, spread::Spread};
use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use private_servers::{DataDir, Existing, PrivateRedis};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

/// Is refused once, past its pivot.
const JAMMED: &str = "
saga: jammed
steps:
  - step: begin
    action: demo.echo
    pivot: true
  - step: jam
    action: demo.fail
    input: { times: 1, kind: permanent, code: jammed }
    probe: demo.probe
    retry: { attempts: forever, backoff: 100ms..1s }
";
/// How many worker processes there are.
const WORKERS: usize = 2;
/// How many starts are on their way at once.
const STARTS: usize = 64;
/// The most that a batch may be asked for.
const RATE_PER_SECOND: u32 = 1_000;
const CONCURRENCY: u32 = 10_000;
/// Between two looks at how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long any part of a round may take.
const PATIENCE: Duration = Duration::from_secs(600);

const STOPPED: &str = "select count(*) from engine.saga_states where state = 'stuck'";
const MENDED: &str = "select count(*) from booking.batch_items where state = 'fixed'";
/// A saga that was not refused once and then done once, by one act.
const ODD: &str = "select count(*) from (
    select saga_id from engine.journal group by saga_id
    having count(*) filter (where kind = 'failed') <> 1 or count(*) filter (where kind = 'acted') <> 1
        or count(*) filter (where kind = 'succeeded' and step = 'jam') <> 1) odd";

/// What one round came to, in seconds.
#[derive(Debug)]
struct Round {
    stopped: f64,
    planned: f64,
    mended: f64,
}

/// Measures and reports.
pub(crate) async fn measure(cluster: &Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let home = DataDir::open(&cluster.out().join("redis"), Existing::Wipe)?;
    let redis = tokio::task::block_in_place(|| PrivateRedis::start(&home))?;
    let sagas = measure.stuck();
    let mut rounds = Vec::new();
    for round in 1..=measure.rounds() {
        let taken = one(cluster, &redis, measure).await?;
        progress(&format!("round {round}: {taken:?}"));
        rounds.push(taken);
    }
    report.note("workers", WORKERS);
    report.note("sagas", sagas);
    report.note("rate_per_second", RATE_PER_SECOND);
    let each = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of));
    let rate = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(|round| sagas as f64 / of(round)));
    report.add("dry_run_s", "s", 2, each(|round| round.planned));
    report.add("started_and_stopped_per_s", "/s", 0, rate(|round| round.stopped));
    report.add("mended_per_s", "/s", 0, rate(|round| round.mended));
    report.add("mended_vs_started_and_stopped", "×", 2, each(|round| round.stopped / round.mended));
    Ok(())
}

/// In a house of its own, with a database of its own.
async fn one(cluster: &Cluster, redis: &PrivateRedis, measure: &Measure) -> anyhow::Result<Round> {
    let house = House::open(cluster, redis, measure.showrunner()?, WORKERS, 0).await?;
    let mut database = PgConnection::connect(&cluster.url(&house.database)?).await?;
    house.api.define(&house.second, "jammed", JAMMED).await?;
    let sagas = measure.stuck();
    cluster.settle().await?;

    let began = Instant::now();
    let start = async |saga| {
        let body = json!({ "definition": "jammed", "idempotencyKey": format!("jam-{saga}"), "input": {} });
        house.api.ask(Method::POST, "/sagas", Some(&body), StatusCode::ACCEPTED).await.map(drop)
    };
    stream::iter(0..sagas).map(start).buffer_unordered(STARTS).try_collect::<()>().await?;
    until(&mut database, STOPPED, sagas).await?;
    let stopped = began.elapsed().as_secs_f64();

    cluster.settle().await?;
    let began = Instant::now();
    let plan = json!({
        "act": "retry", "dryRun": true, "filter": { "state": "stuck" }, "reason": "to be measured",
        "ratePerSecond": RATE_PER_SECOND, "concurrency": CONCURRENCY,
    });
    let plan = house.api.ask(Method::POST, "/batches", Some(&plan), StatusCode::OK).await?;
    let planned = began.elapsed().as_secs_f64();
    let groups = plan["groups"].as_array().context("a plan without groups")?;
    ensure!(groups.len() == 1 && groups[0]["count"] == sagas, "not the plan that was expected: {groups:?}");

    let began = Instant::now();
    let plan = json!({ "planId": plan["planId"] });
    let begun = house.api.ask(Method::POST, "/batches", Some(&plan), StatusCode::ACCEPTED).await?;
    house.second.consent(&begun).await?;
    until(&mut database, MENDED, sagas).await?;
    let mended = began.elapsed().as_secs_f64();

    let odd: i64 = sqlx::query_scalar(ODD).fetch_one(&mut database).await?;
    ensure!(odd == 0, "{odd} sagas were not mended once");
    house.is_sound(0).await?;
    database.close().await?;
    let name = house.database.clone();
    house.close().await?;
    cluster.drop_database(&name)?;
    Ok(Round { stopped, planned, mended })
}

/// Waits until there are as many.
async fn until(database: &mut PgConnection, count: &'static str, wanted: i64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let counted: i64 = sqlx::query_scalar(count).fetch_one(&mut *database).await?;
        if counted == wanted {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{counted} of {wanted} after all this time: {count}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
