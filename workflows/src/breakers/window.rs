//! What was counted lately: ends of calls by their class, in slices of the window.

use super::{BreakerSettings, End, Failing, rules::Counted, state::Millis};
use std::collections::BTreeMap;

/// How many slices a window has; as much of it as one slice is forgotten at once.
const SLICES: i64 = 10;

/// What an end counts as, as operators read it.
pub(super) fn class(end: End) -> Option<&'static str> {
    match end {
        End::Answered => Some(ANSWERED),
        End::Failed(Failing::Timeout) => Some("timeout"),
        End::Failed(Failing::NoConnection) => Some("noConnection"),
        End::Failed(Failing::ConnectionLost) => Some("connectionLost"),
        End::Failed(Failing::ServerError) => Some("serverError"),
        End::Failed(Failing::Unreadable) => Some("unreadable"),
        End::Throttled(_) => Some("rateLimited"),
        End::NotMade => None,
    }
}

const ANSWERED: &str = "answered";

/// Ends of calls, by slice, by the epoch that let them through, and by class.
#[derive(Debug, Clone, Default)]
pub(super) struct Window(BTreeMap<(i64, u64, String), u32>);

/// Which slice a moment is in.
pub(super) fn slice(now: Millis, settings: &BreakerSettings) -> i64 {
    now.div_euclid((i64::from(settings.window_secs) * 1_000 / SLICES).max(1))
}

impl Window {
    /// Counts one more.
    pub(super) fn count(&mut self, now: Millis, epoch: u64, class: &str, settings: &BreakerSettings) {
        let slice = slice(now, settings);
        self.0.retain(|(old, _, _), _| *old > slice - SLICES);
        let count = self.0.entry((slice, epoch, class.to_owned())).or_default();
        *count = count.saturating_add(1);
    }

    fn recent(&self, now: Millis, settings: &BreakerSettings) -> impl Iterator<Item = (u64, &str, u32)> {
        let oldest = slice(now, settings) - SLICES;
        self.0
            .iter()
            .filter(move |((slice, _, _), _)| *slice > oldest)
            .map(|((_, epoch, class), count)| (*epoch, class.as_str(), *count))
    }

    /// What was let through in this epoch.
    pub(super) fn counted(&self, now: Millis, epoch: u64, settings: &BreakerSettings) -> Counted {
        let mut counted = Counted::default();
        for (of, class, count) in self.recent(now, settings) {
            if of == epoch {
                counted.calls = counted.calls.saturating_add(count);
                if class != ANSWERED {
                    counted.failed = counted.failed.saturating_add(count);
                }
            }
        }
        counted
    }

    /// What failed lately, by class, whatever let it through.
    pub(super) fn errors(&self, now: Millis, settings: &BreakerSettings) -> BTreeMap<String, u32> {
        let mut errors = BTreeMap::new();
        for (_, class, count) in self.recent(now, settings).filter(|(_, class, _)| *class != ANSWERED) {
            *errors.entry(class.to_owned()).or_default() += count;
        }
        errors
    }
}
