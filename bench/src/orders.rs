//! What the durable path adds to a gateway's own time, and how many orders come through: real `showrunner` processes
//! (an API, workers, a gateway that takes 50 ms for each answer), and buyers over HTTP.
//!
//! The gateway's own time is what somebody sees who asks for the same money with nothing in between: two calls, as
//! Stripe's protocol has it. Buyers reserve a seat, order it, and wait for their order before they begin the next one,
//! so that never more orders are under way than there are buyers. An order's time counts from when it is sent. It ends
//! when another connection sees its saga finished; a buyer who waits over HTTP is told at the API's next look.

mod buyers;
mod observer;

use crate::{
    cluster::Cluster,
    house::House,
    options::Measure,
    output::progress,
    report::Report,
    spread::{Spread, percentile},
};
use anyhow::Context;
use buyers::Buyers;
use observer::Observer;
use private_servers::{DataDir, Existing, PrivateRedis};
use serde_json::json;
use std::time::Instant;

/// How many worker processes there are, in turn.
const WORKERS: [usize; 3] = [1, 2, 4];
/// How long the gateway takes for each answer.
const ANSWER_AFTER_MS: u32 = 50;
/// How many buyers leave the machine idle most of the time: what an order's own time is.
const FEW: usize = 8;
/// How many keep it busy.
const MANY: usize = 128;
/// So many orders come before anything is measured.
const WARM_UP_ORDERS: usize = 100;

/// Milliseconds, of many.
#[derive(Debug, Clone, Copy)]
struct Times {
    p50: f64,
    p99: f64,
}

impl Times {
    fn of(all: &[f64]) -> Self {
        Self { p50: percentile(all, 0.5), p99: percentile(all, 0.99) }
    }
}

/// What one house came to.
struct Run {
    gateway: Times,
    confirmed: Times,
    told: Times,
    orders_per_second: f64,
}

/// Measures and reports.
pub(crate) async fn measure(cluster: &Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let home = DataDir::open(&cluster.out().join("redis"), Existing::Wipe)?;
    let redis = tokio::task::block_in_place(|| PrivateRedis::start(&home))?;
    let mut rounds: [Vec<Run>; WORKERS.len()] = Default::default();
    for round in 1..=measure.rounds() {
        for (workers, runs) in WORKERS.into_iter().zip(&mut rounds) {
            let run = one(cluster, &redis, workers, measure).await;
            let run = run.with_context(|| format!("measuring with {workers} workers"))?;
            progress(&format!(
                "round {round}, {workers} workers: confirmed after {:.0} ms (p99 {:.0}), of which the gateway takes \
                 {:.0} (p99 {:.0}); {:.0} orders/s",
                run.confirmed.p50, run.confirmed.p99, run.gateway.p50, run.gateway.p99, run.orders_per_second
            ));
            runs.push(run);
        }
    }
    report.note("workers", json!(WORKERS));
    report.note("gateway_answers_after_ms", ANSWER_AFTER_MS);
    report.note("buyers", json!([FEW, MANY]));
    report.note("orders_per_run", json!([measure.orders() / 4, measure.orders()]));
    add(report, &rounds);
    Ok(())
}

/// A house of its own, with a database of its own.
async fn one(cluster: &Cluster, redis: &PrivateRedis, workers: usize, measure: &Measure) -> anyhow::Result<Run> {
    let (few_orders, many_orders) = (measure.orders() / 4, measure.orders());
    let total = WARM_UP_ORDERS + few_orders + many_orders;
    let house = House::open(cluster, redis, measure.showrunner()?, workers, ANSWER_AFTER_MS).await?;
    let buyers = Buyers::new(&house.api, total).await?;
    let observer = Observer::start(&cluster.url(&house.database)?).await?;
    buyers.buy(16, WARM_UP_ORDERS, None).await?;

    cluster.settle().await?;
    let gateway = buyers::ask_alone(&house.bare_gateway.url, FEW, few_orders).await?;
    let bought = buyers.buy(FEW, few_orders, Some(&observer)).await?;
    cluster.settle().await?;
    let began = Instant::now();
    buyers.buy(MANY, many_orders, None).await?;
    let seconds = began.elapsed().as_secs_f64();

    house.is_sound(total).await?;
    drop(observer);
    let database = house.database.clone();
    house.close().await?;
    cluster.drop_database(&database)?;
    Ok(Run {
        gateway: Times::of(&gateway),
        confirmed: Times::of(&bought.iter().filter_map(|order| order.confirmed_ms).collect::<Vec<_>>()),
        told: Times::of(&bought.iter().map(|order| order.told_ms).collect::<Vec<_>>()),
        orders_per_second: many_orders as f64 / seconds,
    })
}

fn add(report: &mut Report, rounds: &[Vec<Run>; WORKERS.len()]) {
    let all = || rounds.iter().flatten();
    report.add("gateway_p50_ms", "ms", 1, Spread::of(all().map(|run| run.gateway.p50)));
    report.add("gateway_p99_ms", "ms", 1, Spread::of(all().map(|run| run.gateway.p99)));
    for (workers, runs) in WORKERS.into_iter().zip(rounds) {
        let mut times = |name: &str, of: fn(&Run) -> f64| {
            report.add(format!("{name}_{workers}_workers"), "ms", 1, Spread::of(runs.iter().map(of)));
        };
        times("confirmed_p50_ms", |run| run.confirmed.p50);
        times("added_p50_ms", |run| run.confirmed.p50 - run.gateway.p50);
        times("confirmed_p99_ms", |run| run.confirmed.p99);
        times("added_p99_ms", |run| run.confirmed.p99 - run.gateway.p99);
        times("told_p50_ms", |run| run.told.p50);
        times("told_p99_ms", |run| run.told.p99);
        let over_gateway = runs.iter().map(|run| run.confirmed.p50 / run.gateway.p50);
        report.add(format!("confirmed_vs_gateway_p50_{workers}_workers"), "×", 2, Spread::of(over_gateway));
        let rates = runs.iter().map(|run| run.orders_per_second);
        report.add(format!("orders_per_s_{workers}_workers"), "/s", 0, Spread::of(rates));
        let over_one = runs.iter().zip(&rounds[0]).map(|(run, one)| run.orders_per_second / one.orders_per_second);
        report.add(format!("orders_per_s_vs_one_{workers}_workers"), "×", 2, Spread::of(over_one));
    }
}
