//! The time and the chance that breakers go by.

use super::state::Millis;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Those who are held back come back spread over this, so that they do not all come at once.
const SPREAD_MS: u64 = 2_000;

/// The time and the chance that breakers go by.
#[derive(Clone)]
pub struct Surroundings {
    clock: Clock,
    chance: Arc<dyn Fn(u64) -> u64 + Send + Sync>,
}

#[derive(Clone)]
enum Clock {
    /// What it was by the machine's clock in the beginning, and how long ago that was.
    Machine {
        began: Instant,
        at: Millis,
    },
    Hand(Arc<AtomicI64>),
}

impl Default for Surroundings {
    fn default() -> Self {
        let chance = Arc::new(|ceiling| rand::random_range(0..=ceiling));
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { clock: Clock::Machine { began: Instant::now(), at: millis(since_1970) }, chance }
    }
}

impl Surroundings {
    /// For tests: the clock stands where `millis` says, and nobody is spread.
    #[must_use]
    pub fn by_hand(millis: Arc<AtomicI64>) -> Self {
        Self { clock: Clock::Hand(millis), chance: Arc::new(|_| 0) }
    }

    pub(super) fn now(&self) -> Millis {
        match &self.clock {
            Clock::Machine { began, at } => at.saturating_add(millis(began.elapsed())),
            Clock::Hand(millis) => millis.load(Ordering::SeqCst),
        }
    }

    /// A name that no other process has.
    pub(super) fn name(&self) -> String {
        format!("{:016x}", (self.chance)(u64::MAX))
    }

    /// A wait, and a little more for each so that not all come at once.
    pub(super) fn spread(&self, wait: i64) -> Duration {
        let wait = u64::try_from(wait).unwrap_or_default();
        Duration::from_millis(wait.saturating_add((self.chance)(SPREAD_MS)))
    }
}

pub(super) fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
