//! What happens to real processes: `showrunner api`, `worker` and `sandbox` as children, killed, stopped, cut off from
//! their database, with clocks that differ and disks that fill. The numbers are those of the catalogue of failures.
//!
//! Each test makes sure that what it provokes has happened, waits for what is right then, never for time to pass, and
//! ends with the invariants, the gateways' own books and the logs.

mod calls;
mod gate;
mod gateways;
mod line;
mod program;
mod servers;
mod shop;
mod world;

mod audit;
mod breakers;
mod cancels;
mod cases;
mod clocks;
mod commits;
mod cut_off;
mod disk;
mod fifteen_thousand;
mod hangups;
mod matrix;
mod operators;
mod outages;
mod poison;
mod preference;
mod replays;
mod stops;
mod tickets;
mod traces;
mod versions;
mod webhooks;
mod zombies;

use super::dev::PATIENCE;
use std::time::{Duration, Instant};

/// How often a test looks whether what it waits for is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a test waits for one thing.
struct Patience {
    what: String,
    began: Instant,
}

impl Patience {
    fn with(what: impl Into<String>) -> Self {
        Self { what: what.into(), began: Instant::now() }
    }

    /// Lets a moment pass, where patience is left.
    async fn wait(&self) {
        assert!(self.began.elapsed() < PATIENCE, "in vain: {}", self.what);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until there is something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Patience::with(what);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        patience.wait().await;
    }
}
