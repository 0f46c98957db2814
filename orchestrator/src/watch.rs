//! Notices actions that do not come back.
//!
//! An action that blocks its thread cannot be timed out: the timer runs in the same task and does not get its turn.
//! Meanwhile the lease of its claim is kept, so that nobody else would ever take the saga. Whoever runs the engine
//! looks here from a thread of its own.

use crate::{action::Call, ids::SagaId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An action that should have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The saga.
    pub saga_id: SagaId,
    /// Its step.
    pub step: String,
    /// For how long.
    pub by: Duration,
}

/// All actions that run in this process. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    actions: HashMap<u64, Action>,
}

#[derive(Debug)]
struct Action {
    saga_id: SagaId,
    step: String,
    ends_by: Instant,
}

/// An action that runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    watch: Watch,
    number: u64,
}

impl Watch {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An action begins that is timed out after `timeout`, if it lets itself be.
    pub(crate) fn begin(&self, call: &Call, timeout: Duration) -> Watching {
        self.begin_step(call.saga_id, &call.step, timeout)
    }

    fn begin_step(&self, saga_id: SagaId, step: &str, timeout: Duration) -> Watching {
        let action = Action { saga_id, step: step.to_owned(), ends_by: Instant::now() + timeout };
        let mut running = self.running();
        let number = running.next;
        running.next += 1;
        running.actions.insert(number, action);
        Watching { watch: self.clone(), number }
    }

    /// The action that is overdue for longest, and for at least `patience`.
    pub(crate) fn overdue(&self, patience: Duration) -> Option<Overdue> {
        let now = Instant::now();
        let running = self.running();
        let oldest = running.actions.values().min_by_key(|action| action.ends_by)?;
        let by = now.saturating_duration_since(oldest.ends_by);
        (by > patience).then(|| Overdue { saga_id: oldest.saga_id, step: oldest.step.clone(), by })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watch.running().actions.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_still_runs_is_overdue() {
        let watch = Watch::default();
        let saga_id = SagaId::fresh();
        let in_time = watch.begin_step(saga_id, "in-time", Duration::from_secs(3_600));
        let late = watch.begin_step(saga_id, "late", Duration::ZERO);
        let later = watch.begin_step(saga_id, "later", Duration::ZERO);
        while watch.overdue(Duration::ZERO).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(watch.overdue(Duration::ZERO).unwrap().step, "late");
        assert_eq!(watch.overdue(Duration::from_secs(3_600)), None);
        drop((late, later));
        assert_eq!(watch.overdue(Duration::ZERO), None);
        drop(in_time);
        assert!(watch.running().actions.is_empty());
    }
}
