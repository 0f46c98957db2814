//! The command line.

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

/// Measures the engine on a private PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// What to do; without it, measure.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// What to measure.
    #[command(flatten)]
    pub(crate) measure: Measure,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be one of the worker processes
    #[command(hide = true)]
    Worker(WorkerOptions),
}

/// What a worker process is set to.
#[derive(Debug, Args)]
pub(crate) struct WorkerOptions {
    /// Where its sagas are
    #[arg(long, env = "DATABASE_URL")]
    pub(crate) database_url: String,
    /// As `worker.lease_secs`
    #[arg(long)]
    pub(crate) lease_secs: u32,
    /// As `worker.drain_secs`
    #[arg(long)]
    pub(crate) drain_secs: u32,
    /// How many local steps share a transaction
    #[arg(long)]
    pub(crate) local_steps_max: u32,
}

/// What to measure, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// Sagas per run [default: 20000, quick: 5000]
    #[arg(long)]
    sagas: Option<u64>,
    /// How often each figure is taken [default: 3, quick: 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each reference runs, in seconds [default: 5, quick: 2]
    #[arg(long)]
    seconds: Option<u32>,
    /// Finished sagas that `with_history` has in its tables [default: 1000000, quick: 100000]
    #[arg(long)]
    history: Option<i32>,
    /// Orders per run of many buyers; a quarter of them where an order's own time is taken [default: 2000, quick: 400]
    #[arg(long)]
    orders: Option<usize>,
    /// Entries in the ledger whose balances are asked for [default: 10000000, quick: 100000]
    #[arg(long)]
    entries: Option<i64>,
    /// Sagas that one cause has stopped and one batch mends [default: 15000, quick: 1000]
    #[arg(long)]
    stuck: Option<i64>,
    /// The binary that sells tickets [default: `showrunner` beside this one]
    #[arg(long, value_name = "FILE")]
    showrunner: Option<PathBuf>,
    /// A first impression, within a minute per part
    #[arg(long)]
    pub(crate) quick: bool,
    /// One part alone, written to a file of its own
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,
    /// Measure nothing; show which statements PostgreSQL spends its time on
    #[arg(long)]
    pub(crate) statements: bool,
    /// Where results and the database's files go: on the disk that is to be measured
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Sagas per second and what each costs, beside the references
    Throughput,
    /// From start to finish at 50 starts a second
    Latency,
    /// Throughput with a million finished sagas in the tables
    History,
    /// How soon sagas move again
    Recovery,
    /// What the durable path adds to a gateway's own time, and orders per second
    Orders,
    /// Balances with ten million entries in the ledger
    Ledger,
    /// A batch that mends fifteen thousand sagas
    Batch,
}

impl Measure {
    fn or<T>(&self, given: Option<T>, usual: T, quick: T) -> T {
        given.unwrap_or(if self.quick { quick } else { usual })
    }

    pub(crate) fn sagas(&self) -> u64 {
        self.or(self.sagas, 20_000, 5_000)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.or(self.rounds, 3, 1)
    }

    pub(crate) fn seconds(&self) -> u32 {
        self.or(self.seconds, 5, 2)
    }

    /// How long sagas are started at a steady pace.
    pub(crate) fn pace_time(&self) -> Duration {
        Duration::from_secs((self.seconds() * 2).into())
    }

    pub(crate) fn history(&self) -> i32 {
        self.or(self.history, 1_000_000, 100_000)
    }

    pub(crate) fn entries(&self) -> i64 {
        self.or(self.entries, 10_000_000, 100_000)
    }

    pub(crate) fn stuck(&self) -> i64 {
        self.or(self.stuck, 15_000, 1_000)
    }

    pub(crate) fn orders(&self) -> usize {
        self.or(self.orders, 2_000, 400)
    }

    /// The binary whose processes are measured.
    pub(crate) fn showrunner(&self) -> anyhow::Result<PathBuf> {
        match &self.showrunner {
            Some(given) => Ok(given.clone()),
            None => Ok(std::env::current_exe().context("finding our own binary")?.with_file_name("showrunner")),
        }
    }

    /// Where the result `name` goes. What is less than everything does not take the place of everything.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let part = self
            .only
            .filter(|part| !matches!(part, Part::Recovery | Part::Orders | Part::Ledger | Part::Batch))
            .and_then(|part| part.to_possible_value());
        let quick = if self.quick { "-quick" } else { "" };
        match part {
            Some(part) => self.out.join(format!("{name}-{}{quick}.json", part.get_name())),
            None => self.out.join(format!("{name}{quick}.json")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_part_does_not_take_the_place_of_everything() {
        let file = |arguments: &[&str]| {
            let options = Options::parse_from([&["bench", "--out", "x"], arguments].concat());
            options.measure.file("engine").display().to_string()
        };
        assert_eq!(file(&[]), "x/engine.json");
        assert_eq!(file(&["--quick"]), "x/engine-quick.json");
        assert_eq!(file(&["--only", "latency"]), "x/engine-latency.json");
    }
}
