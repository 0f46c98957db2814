//! The time and the chance that breakers go by.

use super::state::Millis;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Those who are held back come back spread over this, so that they do not all come at once.
const SPREAD_MS: u64 = 2_000;

/// The time and the chance that breakers go by.
#[derive(Clone)]
pub struct Surroundings {
    clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    chance: Arc<dyn Fn(u64) -> u64 + Send + Sync>,
}

impl Default for Surroundings {
    fn default() -> Self {
        // what it was by the machine's clock in the beginning, and how long ago that was
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (began, at) = (Instant::now(), millis(since_1970));
        let clock = move || at.saturating_add(millis(began.elapsed()));
        Self::given(clock, |ceiling| rand::random_range(0..=ceiling))
    }
}

impl Surroundings {
    /// A clock in milliseconds, and a chance that draws a whole number from zero to the given one, evenly.
    #[must_use]
    pub fn given(
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        chance: impl Fn(u64) -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { clock: Arc::new(clock), chance: Arc::new(chance) }
    }

    pub(super) fn now(&self) -> Millis {
        (self.clock)()
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
