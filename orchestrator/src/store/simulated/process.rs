//! A process that can die, or sleep and wake up too late, at any call that it makes.

use std::sync::Arc;
use tokio::sync::watch;

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
pub struct Process(Arc<watch::Sender<Fate>>);

impl Default for Process {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Fate::Runs)))
    }
}

impl Process {
    /// Has this become of it. The dead stay dead.
    pub fn meets(&self, fate: Fate) {
        self.0.send_if_modified(|now| {
            let changes = *now != Fate::Dead && *now != fate;
            if changes {
                *now = fate;
            }
            changes
        });
    }

    /// What has become of it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        *self.0.borrow()
    }

    /// Completes while it runs, when it runs again after a sleep, and never once it is dead.
    pub async fn goes_on(&self) {
        let mut fate = self.0.subscribe();
        // the sender lives as long as the process's handle
        if fate.wait_for(|now| *now == Fate::Runs).await.is_err() || self.fate() == Fate::Dead {
            std::future::pending::<()>().await;
        }
    }
}
