//! The simulator: the production engine (plan, judge, retries, leases, committer), payment actions and breakers on a
//! store, gateways, seats and a clock that are simulated. One thread and one seed: the same seed gives the same
//! run. First everything goes wrong that can; then everything heals, and must come to rest with nothing lost.
//!
//! `make sim SEEDS=100000` runs many; `make sim SEED=17` runs one and prints what happened in it.

#[path = "simulator/actions.rs"]
mod actions;
#[path = "simulator/books.rs"]
mod books;
#[path = "simulator/business.rs"]
mod business;
#[path = "simulator/gateway.rs"]
mod gateway;
#[path = "simulator/news.rs"]
mod news;
#[path = "simulator/people.rs"]
mod people;
#[path = "simulator/projection.rs"]
mod projection;
#[path = "simulator/protocol.rs"]
mod protocol;
#[path = "simulator/rare.rs"]
mod rare;
#[path = "simulator/run.rs"]
mod run;
#[path = "simulator/saboteur.rs"]
mod saboteur;
#[path = "simulator/verdict.rs"]
mod verdict;
#[path = "simulator/world.rs"]
mod world;

use rare::Rare;
use run::simulate;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// How many seeds `make test` runs.
const SEEDS: u64 = 2_000;

/// A number from the environment.
fn asked_for(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty());
    text.map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Runs `seeds` on as many threads as there are processors, and adds up what rarely happens.
fn run_all(first: u64, count: u64) -> Rare {
    let next = AtomicU64::new(first);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut rare = Rare::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return rare;
            }
            match catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
                Ok(Ok(run)) => rare.add(&run.rare),
                Ok(Err(wrong)) => panic!("{wrong}\nTo see it again: make sim SEED={seed}"),
                Err(_) => panic!("seed {seed} panicked; to see it again: make sim SEED={seed}"),
            }
        }
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        running.into_iter().fold(Rare::default(), |mut sum, one| {
            sum.add(&one.join().unwrap_or_else(|wrong| std::panic::resume_unwind(wrong)));
            sum
        })
    })
}

#[test]
fn nothing_is_lost_whatever_happens() {
    if let Some(seed) = asked_for("SIM_SEED") {
        let run = simulate(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
        println!("{}\n{}", run.trace, run.rare);
        return;
    }
    let count = asked_for("SIM_SEEDS").unwrap_or(SEEDS);
    let rare = run_all(asked_for("SIM_FIRST").unwrap_or_default(), count);
    println!("{count} seeds\n{rare}");
    if count >= SEEDS {
        assert_eq!(rare.never(), Vec::<&str>::new(), "a run in which these never happened proves little:\n{rare}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3, 4, 5, 1_000_003] {
        let (first, second) = (simulate(seed).unwrap(), simulate(seed).unwrap());
        assert!(first.trace == second.trace, "seed {seed} gave two runs");
    }
    assert_ne!(simulate(1).unwrap().trace, simulate(2).unwrap().trace);
}
