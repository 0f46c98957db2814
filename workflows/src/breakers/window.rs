//! What was counted lately: ends of calls by their class, in slices of the window.

use super::{BreakerSettings, End, Failing, Operation, rules::Counted, state::Millis};
use std::{collections::BTreeMap, fmt, str::FromStr};

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

/// Ends that count as one: by when they were, what let them through, what was asked for, their class, and which process
/// has seen them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) slice: i64,
    pub(super) epoch: u64,
    pub(super) operation: Operation,
    pub(super) class: String,
    pub(super) by: String,
}

/// As they are kept where all processes see them.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slice, epoch, operation, class, by } = self;
        write!(f, "{slice}|{epoch}|{operation}|{class}|{by}")
    }
}

/// Not a place: written by another release, perhaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let mut parts = text.splitn(5, '|');
        let mut part = || parts.next().ok_or(NoPlace);
        let (slice, epoch, operation, class, by) = (part()?, part()?, part()?, part()?, part()?);
        Ok(Self {
            slice: slice.parse().map_err(|_| NoPlace)?,
            epoch: epoch.parse().map_err(|_| NoPlace)?,
            operation: Operation::ALL.into_iter().find(|known| known.as_str() == operation).ok_or(NoPlace)?,
            class: class.to_owned(),
            by: by.to_owned(),
        })
    }
}

/// How many there were in each place.
pub(super) type Counts = BTreeMap<Place, u32>;

/// What this process has counted, and what the others have, as far as it was told.
#[derive(Debug, Clone)]
pub(super) struct Window {
    by: String,
    own: Counts,
    others: Counts,
}

/// The first slice that still counts.
pub(super) fn first_slice(now: Millis, settings: &BreakerSettings) -> i64 {
    slice(now, settings) - SLICES + 1
}

fn slice(now: Millis, settings: &BreakerSettings) -> i64 {
    now.div_euclid((i64::from(settings.window_secs) * 1_000 / SLICES).max(1))
}

impl Window {
    /// Of the process that is known by this name.
    pub(super) fn new(by: String) -> Self {
        Self { by, own: Counts::new(), others: Counts::new() }
    }

    /// Counts one more.
    pub(super) fn count(
        &mut self,
        operation: Operation,
        epoch: u64,
        class: &str,
        now: Millis,
        settings: &BreakerSettings,
    ) {
        let first = first_slice(now, settings);
        self.own.retain(|place, _| place.slice >= first);
        let (class, by) = (class.to_owned(), self.by.clone());
        let place = Place { slice: slice(now, settings), epoch, operation, class, by };
        add(self.own.entry(place).or_default(), 1);
    }

    /// What the others are told: sums, so that it does no harm when they are told twice.
    pub(super) fn own(&self) -> &Counts {
        &self.own
    }

    /// What all have told.
    pub(super) fn learn(&mut self, told: Counts) {
        self.others = told;
        self.others.retain(|place, _| place.by != self.by);
    }

    fn recent(&self, of: Operation, now: Millis, settings: &BreakerSettings) -> impl Iterator<Item = (&Place, u32)> {
        let first = first_slice(now, settings);
        let all = self.own.iter().chain(&self.others).map(|(place, count)| (place, *count));
        all.filter(move |(place, _)| place.slice >= first && place.operation == of)
    }

    /// What was let through in this epoch.
    pub(super) fn counted(&self, operation: Operation, epoch: u64, now: Millis, settings: &BreakerSettings) -> Counted {
        let mut counted = Counted::default();
        for (place, count) in self.recent(operation, now, settings).filter(|(place, _)| place.epoch == epoch) {
            add(&mut counted.calls, count);
            if place.class != ANSWERED {
                add(&mut counted.failed, count);
            }
        }
        counted
    }

    /// How many calls ended lately, and those that failed by class, whatever let them through.
    pub(super) fn ends(
        &self,
        operation: Operation,
        now: Millis,
        settings: &BreakerSettings,
    ) -> (u32, BTreeMap<String, u32>) {
        let (mut calls, mut errors) = (0, BTreeMap::new());
        for (place, count) in self.recent(operation, now, settings) {
            add(&mut calls, count);
            if place.class != ANSWERED {
                add(errors.entry(place.class.clone()).or_default(), count);
            }
        }
        (calls, errors)
    }
}

fn add(to: &mut u32, count: u32) {
    *to = to.saturating_add(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings =
        BreakerSettings { failure_permille: 500, window_secs: 10, minimum_calls: 10, open_secs: 5 };

    fn at(by: &str) -> Place {
        Place { slice: 0, epoch: 7, operation: Operation::Refund, class: "timeout".to_owned(), by: by.to_owned() }
    }

    #[test]
    fn a_place_is_kept_as_text() {
        let place = Place { slice: -3, ..at("a|b") };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in ["", "1|2|charge|timeout", "x|2|charge|timeout|a", "1|2|stroke|timeout|a"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    #[test]
    fn what_was_told_is_counted_once() {
        let mut window = Window::new("a".to_owned());
        window.count(Operation::Refund, 7, "timeout", 0, &SETTINGS);
        window.learn([(at("a"), 1), (at("b"), 5)].into());
        window.count(Operation::Refund, 7, "timeout", 0, &SETTINGS);
        let counted = window.counted(Operation::Refund, 7, 0, &SETTINGS);
        assert_eq!(counted, Counted { calls: 7, failed: 7 }, "two of ours, and five of another's");
        assert_eq!(window.own(), &[(at("a"), 2)].into());
    }
}
