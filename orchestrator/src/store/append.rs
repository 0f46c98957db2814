//! A move, ready to be written.

use crate::{
    ids::SagaId,
    journal::{Entry, Moment, Recorded},
    plan::{Next, Turn},
    run::Run,
    saga::State,
};
use std::sync::Arc;
use uuid::Uuid;

/// When a saga is looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// The claim stays: the next step follows at once.
    Keep,
    /// The claim stays, in the middle of a call. This is no progress: a call that kills its worker every time
    /// gets here every time.
    InCall,
    /// The claim ends; a worker takes it at this time, or when something wakes it.
    Wake(Option<Moment>),
    /// A person or a signal has moved it: whoever has the claim keeps it, and it is looked at at once.
    Nudge,
    /// Nobody owes it anything.
    Rest,
}

/// One move, ready to be written.
#[derive(Debug, Clone)]
pub struct Append {
    /// Tells this move from others when it is written again.
    pub move_id: Uuid,
    /// When.
    pub at: Moment,
    /// What is appended.
    pub entries: Arc<[Entry]>,
    /// After the entries.
    pub run: Arc<Run>,
    /// For lists.
    pub row: Row,
    /// What follows.
    pub schedule: Schedule,
    /// Something was answered: its claims are counted anew.
    pub progress: bool,
}

/// What lists show beside the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The step it stands at.
    pub step: Option<String>,
    /// Whose turn it is.
    pub waiting_on: &'static str,
    /// For what it waits.
    pub reason: Option<String>,
}

impl Append {
    /// The first move of a saga.
    pub(crate) fn start(saga_id: SagaId, at: Moment, step: Option<String>, entry: Entry) -> Self {
        let Entry::Started { starts_at, .. } = &entry else { unreachable!("a saga begins with its start") };
        let starts_at = *starts_at;
        let recorded = [Recorded { seq: 1, at, entry }];
        let run = Run::replay(saga_id, &recorded).unwrap_or_else(|_| unreachable!("a lone start always replays"));
        let entries = Arc::from(recorded.map(|recorded| recorded.entry));
        let waiting_on = if starts_at > at { "timer" } else { "worker" };
        Self {
            move_id: saga_id.0,
            at,
            entries,
            run: Arc::new(run),
            row: Row { step, waiting_on, reason: None },
            schedule: Schedule::Wake(Some(starts_at)),
            progress: true,
        }
    }

    /// The place of its first entry.
    pub(crate) fn first_seq(&self) -> i64 {
        self.run.seq - i64::try_from(self.entries.len()).unwrap_or(i64::MAX) + 1
    }
}

impl Row {
    /// What to show of a saga that stands at `step` and whose next thing is `next`.
    pub(crate) fn of(run: &Run, next: &Next, step: Option<String>, name: impl Fn(usize) -> String) -> Self {
        let row = |step, waiting_on, reason| Self { step, waiting_on, reason };
        match next {
            Next::Run(due) => row(Some(name(due.step)), "worker", None),
            Next::Probe(due) => {
                row(Some(name(due.step)), "gateway", Some("what became of a call that is in doubt".to_owned()))
            }
            Next::Sleep(sleep) => {
                let turn = match sleep.turn {
                    Turn::Timer => "timer",
                    Turn::Signal => "signal",
                    Turn::Gateway => "gateway",
                };
                row(step, turn, Some(sleep.reason.clone()))
            }
            Next::Rest if run.state == State::Stuck => {
                let stuck = run.stuck.as_ref();
                let reason = stuck.map(|stuck| stuck.failure.message.clone());
                row(stuck.and_then(|stuck| stuck.step.clone()), "person", reason)
            }
            Next::Rest if run.state == State::Paused => row(step, "person", None),
            Next::Decide(_) => row(step, "worker", None),
            Next::Rest => row(step, "nothing", None),
        }
    }
}
