//! Ends the process when an action does not come back.
//!
//! Nothing else helps against one that blocks its thread: it cannot be timed out, and its saga's lease is kept for as
//! long as the process lives. With the process it is what any action is that takes its worker down: counted on claim,
//! and after a few claims in front of a person. Everything else that was in flight is looked after by others, as
//! after any other death.

use orchestrator::Engine;
use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An action must be overdue at so many looks in a row: a process that was stopped and goes on finds all of its
/// actions overdue, and times them out at once.
const LOOKS_OVERDUE_MAX: u32 = 3;

/// Watches until it is dropped.
pub(crate) struct Watchdog {
    #[expect(dead_code, reason = "ends the thread by being dropped")]
    watching: Sender<()>,
}

impl Watchdog {
    /// Watches the actions that this engine runs; they may be overdue for `patience`.
    pub(crate) fn start(engine: Engine, patience: Duration) -> io::Result<Self> {
        let (watching, ended) = mpsc::channel();
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&engine, patience, &ended))?;
        Ok(Self { watching })
    }
}

fn watch(engine: &Engine, patience: Duration, ended: &Receiver<()>) {
    let mut looks_overdue = 0;
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(overdue) = engine.overdue(patience) else {
            looks_overdue = 0;
            continue;
        };
        looks_overdue += 1;
        if looks_overdue >= LOOKS_OVERDUE_MAX {
            tracing::error!(
                saga.id = %overdue.saga_id, step.name = overdue.step, overdue_ms = overdue.by.as_millis(),
                "Step {} of saga {} does not come back; this process ends with it", overdue.step, overdue.saga_id
            );
            std::process::abort();
        }
    }
}
