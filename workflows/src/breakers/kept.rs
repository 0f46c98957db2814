//! What one process keeps of a gateway's breakers.

use super::{
    Operation,
    budget::Budget,
    state::{Event, Millis, Record},
    window::Window,
};
use std::collections::BTreeMap;

/// The breakers of one gateway, and its retry budget.
#[derive(Debug)]
pub(super) struct Kept {
    records: BTreeMap<Operation, Record>,
    windows: BTreeMap<Operation, Window>,
    pub(super) budget: Budget,
}

impl Kept {
    pub(super) fn new(now: Millis) -> Self {
        Self { records: BTreeMap::new(), windows: BTreeMap::new(), budget: Budget::new(now) }
    }

    pub(super) fn record(&self, operation: Operation) -> Record {
        self.records.get(&operation).copied().unwrap_or(Record::NEW)
    }

    pub(super) fn window(&mut self, operation: Operation) -> &mut Window {
        self.windows.entry(operation).or_default()
    }

    /// Makes the move, if there is one. The rules name no move that the table has not; if they did, nothing moves.
    pub(super) fn advance(&mut self, operation: Operation, event: Option<Event>, now: Millis) -> Record {
        let record = self.record(operation);
        let moved = event.and_then(|event| record.on(event, now).ok()).unwrap_or(record);
        self.records.insert(operation, moved);
        moved
    }
}
