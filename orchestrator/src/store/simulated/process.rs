//! A process that can die, or sleep and wake up too late, at any call that it makes.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs.
    Runs,
    /// It stands still, and does not know it.
    Sleeps,
    /// It is gone. Nothing that it was about to do happens.
    Dead,
}

/// See the module. Clones are the same process.
#[derive(Debug, Clone)]
pub struct Process(Arc<Life>);

/// Those who wait wake in the order in which they came: the same seed must give the same run.
#[derive(Debug)]
struct Life {
    fate: Mutex<Fate>,
    changed: Notify,
}

impl Default for Process {
    fn default() -> Self {
        Self(Arc::new(Life { fate: Mutex::new(Fate::Runs), changed: Notify::new() }))
    }
}

impl Process {
    /// Has this become of it. The dead stay dead.
    pub fn meets(&self, fate: Fate) {
        let mut now = self.0.fate.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Fate::Dead {
            *now = fate;
            self.0.changed.notify_waiters();
        }
    }

    /// What has become of it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        *self.0.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes while it runs, when it runs again after a sleep, and never once it is dead.
    pub async fn goes_on(&self) {
        while self.fate() != Fate::Runs {
            self.0.changed.notified().await;
        }
    }
}
