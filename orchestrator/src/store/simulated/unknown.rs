//! COMMITs whose fate nobody was told, and what was found by those who wrote the same again.

use std::collections::BTreeMap;
use uuid::Uuid;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// Moves whose fate is unknown to those who made them, and whether they were done.
    moves: BTreeMap<Uuid, bool>,
    found: Found,
}

/// How often an unknown COMMIT was settled by writing again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// It had been done.
    pub done: u64,
    /// It had not.
    pub not_done: u64,
}

impl Unknown {
    pub(super) fn found(&self) -> Found {
        self.found
    }

    pub(super) fn lose(&mut self, moves: &[Uuid], done: bool) {
        self.moves.extend(moves.iter().map(|id| (*id, done)));
    }

    /// Somebody looks, and finds this move.
    pub(super) fn is_seen(&mut self, id: Uuid) {
        if self.moves.remove(&id).is_some() {
            self.found.done += 1;
        }
    }

    /// Somebody writes this move.
    pub(super) fn is_written(&mut self, id: Uuid) {
        if self.moves.remove(&id) == Some(false) {
            self.found.not_done += 1;
        }
    }
}
