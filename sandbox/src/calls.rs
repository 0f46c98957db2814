//! Which calls have come since the gateway was started, in which order, and how each has ended.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::edge;
use crate::faults::Kind;

/// How many calls are remembered; then the oldest are forgotten.
const CALLS_MAX: usize = 20_000;

/// One call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallEntry {
    operation: Kind,
    key: Option<String>,
    /// Its place among all beginnings and ends: which of two was first is certain, whatever the clock does.
    began: u64,
    began_at_ms: i64,
    /// Nothing as long as it is not answered, also when its client has gone away.
    ended: Option<u64>,
    ended_at_ms: Option<i64>,
    /// How it was answered; nothing when it was not.
    status: Option<u16>,
}

/// All calls.
#[derive(Default)]
pub(crate) struct Calls(Mutex<Log>);

#[derive(Default)]
struct Log {
    entries: VecDeque<CallEntry>,
    /// How many beginnings and ends there were.
    places: u64,
}

impl Log {
    fn next_place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }
}

impl Calls {
    /// A call has come. The place of its beginning, by which its end is told.
    pub(crate) fn begin(&self, operation: Kind, key: Option<String>) -> u64 {
        let mut log = self.lock();
        let began = log.next_place();
        if log.entries.len() == CALLS_MAX {
            log.entries.pop_front();
        }
        log.entries.push_back(CallEntry {
            operation,
            key,
            began,
            began_at_ms: edge::now_ms(),
            ended: None,
            ended_at_ms: None,
            status: None,
        });
        began
    }

    /// It is about to be answered, or cut.
    pub(crate) fn end(&self, began: u64, status: Option<u16>) {
        let mut log = self.lock();
        let ended = log.next_place();
        if let Ok(index) = log.entries.binary_search_by_key(&began, |entry| entry.began) {
            let entry = &mut log.entries[index];
            (entry.ended, entry.status) = (Some(ended), status);
            entry.ended_at_ms = Some(edge::now_ms());
        }
    }

    /// As they came.
    pub(crate) fn list(&self) -> Vec<CallEntry> {
        self.lock().entries.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_their_ends_with_them() {
        let calls = Calls::default();
        let first = calls.begin(Kind::Charge, None);
        for _ in 0..CALLS_MAX {
            calls.begin(Kind::Probe, None);
        }
        calls.end(first, Some(200));
        let kept = calls.list();
        assert_eq!(kept.len(), CALLS_MAX);
        assert!(kept.iter().all(|entry| entry.began > first && entry.ended.is_none()));
    }
}
