//! What one process keeps of a gateway's breakers.

use super::{
    Operation,
    budget::Budget,
    modes::Mode,
    shared::{Known, Offer},
    state::{Millis, Record, State},
    window::Window,
};
use std::collections::BTreeMap;

/// The breakers of one gateway, and its retry budget.
#[derive(Debug)]
pub(super) struct Kept {
    began: Millis,
    records: BTreeMap<Operation, Record>,
    pub(super) window: Window,
    pub(super) budget: Budget,
    /// What people have decided, and until when by this process's own clock.
    pub(super) forces: Forces,
}

/// What people have decided, by operation.
pub(super) type Forces = BTreeMap<Operation, (Mode, Option<Millis>)>;

/// What a person has decided, and for how long nobody need ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Force {
    pub(super) mode: Mode,
    pub(super) left: Millis,
}

impl Kept {
    /// Of the process that is known by this name.
    pub(super) fn new(by: String, now: Millis) -> Self {
        Self {
            began: now,
            records: BTreeMap::new(),
            window: Window::new(by),
            budget: Budget::new(now),
            forces: Forces::new(),
        }
    }

    pub(super) fn record(&self, operation: Operation) -> Record {
        self.records.get(&operation).copied().unwrap_or(Record::new(self.began))
    }

    pub(super) fn put(&mut self, operation: Operation, record: Record) {
        self.records.insert(operation, record);
    }

    /// What a person has decided, if it still holds; who is kept away asks again after `at_most`.
    pub(super) fn force(&self, operation: Operation, now: Millis, at_most: Millis) -> Option<Force> {
        let (mode, ends) = *self.forces.get(&operation)?;
        let left = ends.map_or(at_most, |ends| (ends - now).min(at_most));
        (left > 0).then_some(Force { mode, left })
    }

    /// What the others are told.
    pub(super) fn offer(&self) -> Offer {
        let records = Operation::ALL.into_iter().map(|operation| (operation, self.record(operation)));
        Offer { records: records.collect(), counts: self.window.own().clone() }
    }

    /// What came back: a record that has moved on since is not taken back. Answers whose state is another one now.
    pub(super) fn learn(&mut self, known: Known) -> Vec<(Operation, State, State)> {
        let mut moved = Vec::new();
        for (operation, record) in known.records {
            let before = self.record(operation);
            if before.version <= record.version {
                self.records.insert(operation, record);
                moved.push((operation, before.state, record.state));
            }
        }
        self.window.learn(known.counts);
        moved.retain(|(_, before, after)| before.name() != after.name());
        moved
    }
}
