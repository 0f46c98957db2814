//! Leaves a Redis that does not answer alone for a moment, so that nobody pays its timeout again and again.
//! Of one process; the shared breakers of gateways are another thing.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Failures in a row after which nobody asks.
const FAILURES_MAX: u32 = 3;
/// For how long.
const PAUSE: Duration = Duration::from_millis(500);

/// What a call has changed, once each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// From now on it is left alone.
    Opened,
    /// It answers again.
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    closed_again_at: Option<Instant>,
}

impl Breaker {
    /// Whether to ask. After a pause one may, and the others wait for what becomes of it.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.closed_again_at {
            Some(at) if now < at => false,
            Some(_) => {
                state.closed_again_at = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// What became of a call, and what that changes.
    pub(super) fn record(&self, answered: bool, now: Instant) -> Option<Change> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            let before = std::mem::take(&mut *state);
            return before.closed_again_at.map(|_| Change::Closed);
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_MAX {
            return None;
        }
        let before = state.closed_again_at.replace(now + PAUSE);
        before.is_none().then_some(Change::Opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_open_it_and_one_call_tries_again() {
        let breaker = Breaker::default();
        let start = Instant::now();
        for failure in 1..=FAILURES_MAX {
            assert!(breaker.admits(start));
            assert_eq!(breaker.record(false, start), (failure == FAILURES_MAX).then_some(Change::Opened));
        }
        assert!(!breaker.admits(start));
        let later = start + PAUSE;
        assert!(breaker.admits(later), "one tries");
        assert!(!breaker.admits(later), "the others wait");
        assert_eq!(breaker.record(false, later), None, "it is told once");
        assert_eq!(breaker.record(true, later), Some(Change::Closed));
        assert_eq!(breaker.record(true, later), None, "it is told once");
        assert!(breaker.admits(later) && breaker.admits(later), "and all may again");
    }
}
