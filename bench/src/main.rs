//! Measures the engine: how many sagas it moves, how fast and at what cost, beside what the same database does with
//! the least that a saga must write; how soon sagas move again after a death; and what all of it adds to a gateway's
//! own time when orders come over HTTP; what balances cost in a large ledger, and how fast a batch mends what is stuck.
//! `docs/performance.md` says what is measured and how to read it.
//!
//! Read [`throughput`] first; [`site`] is what is measured (an engine, two worker processes), [`reference`] what it is
//! compared with.

#![expect(clippy::float_arithmetic, reason = "rates and medians of measurements; nothing here counts money")]

mod throughput;

mod latency;

mod history;

mod recovery;

mod orders;

mod ledger;

mod batch;

mod actions;
mod api;
mod cluster;
mod cpu;
mod house;
mod load;
mod options;
mod output;
mod reference;
mod report;
mod site;
mod spread;
mod statements;
mod worker;

use anyhow::Context;
use clap::Parser;
use cluster::Cluster;
use options::{Command, Measure, Options, Part};
use report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match options.command {
        Some(Command::Worker(settings)) => runtime.block_on(worker::run(settings)),
        None => runtime.block_on(measure(&options.measure)),
    }
}

async fn measure(measure: &Measure) -> anyhow::Result<()> {
    std::fs::create_dir_all(&measure.out).with_context(|| format!("making {}", measure.out.display()))?;
    if measure.statements {
        return statements::show(measure).await;
    }
    let wanted = |part| measure.only.is_none_or(|only| only == part);
    if [Part::Throughput, Part::Latency, Part::History].into_iter().any(wanted) {
        let cluster = Cluster::start(measure)?;
        let mut report = Report::new(measure, &cluster).await?;
        report.note("sagas_per_run", measure.sagas());
        report.note("seconds_per_reference", measure.seconds());
        report.note("workers", site::WORKERS);
        if wanted(Part::Throughput) {
            throughput::measure(&cluster, measure, &mut report).await?;
        }
        if wanted(Part::Latency) {
            latency::measure(&cluster, measure, &mut report).await?;
        }
        if wanted(Part::History) {
            history::measure(&cluster, measure, &mut report).await?;
        }
        report.publish(&measure.file("engine"))?;
        cluster.wipe()?;
    }
    if wanted(Part::Recovery) {
        let mut cluster = Cluster::start(measure)?;
        let mut report = Report::new(measure, &cluster).await?;
        recovery::measure(&mut cluster, measure, &mut report).await?;
        report.publish(&measure.file("recovery"))?;
        cluster.wipe()?;
    }
    if wanted(Part::Orders) {
        let cluster = Cluster::start(measure)?;
        let mut report = Report::new(measure, &cluster).await?;
        orders::measure(&cluster, measure, &mut report).await?;
        report.publish(&measure.file("orders"))?;
        cluster.wipe()?;
    }
    if wanted(Part::Ledger) {
        let cluster = Cluster::start(measure)?;
        let mut report = Report::new(measure, &cluster).await?;
        ledger::measure(&cluster, measure, &mut report).await?;
        report.publish(&measure.file("ledger"))?;
        cluster.wipe()?;
    }
    if wanted(Part::Batch) {
        let cluster = Cluster::start(measure)?;
        let mut report = Report::new(measure, &cluster).await?;
        batch::measure(&cluster, measure, &mut report).await?;
        report.publish(&measure.file("batch"))?;
        cluster.wipe()?;
    }
    Ok(())
}
