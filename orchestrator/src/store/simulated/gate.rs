//! Who may write: one transaction at a time.

use super::process::{Fate, Process};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How long a transaction of a process that stands still keeps everybody else waiting: PostgreSQL's
/// `idle_in_transaction_session_timeout`, as our connections set it.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How often those who wait look whether the one who holds them up has gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Default)]
pub(super) struct Gate {
    inside: Mutex<Inside>,
    freed: Notify,
}

#[derive(Default)]
struct Inside {
    turns: u64,
    holder: Option<Holder>,
}

struct Holder {
    turn: u64,
    /// None: the server alone, which finishes what it was sent.
    process: Option<Process>,
    since: Instant,
}

impl Holder {
    /// The server has noticed that nobody will end this transaction.
    fn is_given_up(&self) -> bool {
        match self.process.as_ref().map(Process::fate) {
            Some(Fate::Dead) => true,
            Some(Fate::Sleeps) => self.since.elapsed() > IDLE_MAX,
            Some(Fate::Runs) | None => false,
        }
    }
}

impl Gate {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_enter(&self, process: &Process) -> Option<u64> {
        let mut inside = self.inside();
        if inside.holder.as_ref().is_some_and(|holder| !holder.is_given_up()) {
            return None;
        }
        inside.turns += 1;
        let turn = inside.turns;
        inside.holder = Some(Holder { turn, process: Some(process.clone()), since: Instant::now() });
        Some(turn)
    }

    /// Waits for its turn.
    pub(super) async fn enter(&self, process: &Process) -> u64 {
        loop {
            if let Some(turn) = self.try_enter(process) {
                return turn;
            }
            drop(tokio::time::timeout(LOOK_EVERY, self.freed.notified()).await);
        }
    }

    /// Whether this turn has not been taken away.
    pub(super) fn holds(&self, turn: u64) -> bool {
        self.inside().holder.as_ref().is_some_and(|holder| holder.turn == turn)
    }

    /// From here on the server ends the turn, whatever becomes of the process.
    pub(super) fn hand_to_server(&self, turn: u64) {
        let mut inside = self.inside();
        if let Some(holder) = inside.holder.as_mut().filter(|holder| holder.turn == turn) {
            holder.process = None;
        }
    }

    /// Ends a turn.
    pub(super) fn leave(&self, turn: u64) {
        let mut inside = self.inside();
        if inside.holder.as_ref().is_some_and(|holder| holder.turn == turn) {
            inside.holder = None;
            self.freed.notify_one();
        }
    }
}
