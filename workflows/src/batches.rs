//! One act on many sagas, or the replay of many refunds. A plan freezes which, and tells for each what would be done; a
//! batch carries out exactly that, at a rate, under the eyes of whoever watches, and has one result for each.

mod items;
mod plan;
mod replays;
mod start;
mod state;
mod turn;
mod view;

pub(crate) use items::{NewBatch, NewItem, Subject, keep};
pub use plan::{PlanBatch, PlanError, Planned, Selection, VerdictGroup, expire_plans, plan};
pub(crate) use start::start_in_tx;
pub use start::{ChangeError, Changed, ToStart, change, start, to_start};
pub use state::{BatchEvent, BatchState, IllegalBatchTransition, NotABatchState};
pub use turn::carry_out;
pub use view::{Batch, BatchItem, Counts, ItemFilter, find, items, list};

use crate::access::Role;
use orchestrator::acts::Act;
use std::{fmt, str::FromStr};

/// How many sagas or refunds one batch may have.
pub const SAGAS_MAX: usize = 20_000;
/// The highest rate, in acts per second.
pub const RATE_PER_SECOND_MAX: u32 = 1_000;
/// How many sagas of one batch may be on their way at once, at most.
pub const CONCURRENCY_MAX: u32 = 10_000;

/// What can be done to many sagas at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchAct {
    /// What failed or waits is tried again.
    Retry,
    /// What was done is taken back.
    Cancel,
}

impl BatchAct {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Retry, Self::Cancel];

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// The same of one saga.
    #[must_use]
    pub fn of_one(self) -> Act {
        match self {
            Self::Retry => Act::Retry,
            Self::Cancel => Act::Cancel,
        }
    }
}

impl fmt::Display for BatchAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a batch does, to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// An act on sagas.
    Acts(BatchAct),
    /// Refunds are tried again.
    Replays,
}

impl Work {
    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acts(act) => act.as_str(),
            Self::Replays => "replay",
        }
    }

    /// Who plans it, begins it and holds it up.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Acts(_) => Role::Operator,
            Self::Replays => Role::Finance,
        }
    }
}

impl FromStr for Work {
    type Err = NotABatchAct;

    fn from_str(text: &str) -> Result<Self, NotABatchAct> {
        if text == Self::Replays.as_str() { Ok(Self::Replays) } else { text.parse().map(Self::Acts) }
    }
}

/// A text that names no act of many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `retry` or `cancel`")]
pub struct NotABatchAct;

impl FromStr for BatchAct {
    type Err = NotABatchAct;

    fn from_str(text: &str) -> Result<Self, NotABatchAct> {
        Self::ALL.into_iter().find(|act| act.as_str() == text).ok_or(NotABatchAct)
    }
}

/// How fast a batch goes, and when it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Acts per second, from 1 to [`RATE_PER_SECOND_MAX`].
    pub rate_per_second: u32,
    /// How many sagas may be on their way at once, from 1 to [`CONCURRENCY_MAX`].
    pub concurrency: u32,
    /// Of a thousand results, how many failures end it.
    pub abort_at_failure_permille: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rate_per_second: 20, concurrency: 100, abort_at_failure_permille: None }
    }
}
