//! What a move comes to: a pure function of what its holder brings and of the saga as it is now.

use super::{Move, Outcome, What};
use crate::{
    action::{Answer, Halt, Lane, Wait},
    definition::{Definition, Step},
    journal::{Entry, Moment},
    judge::{Chance, Judge, storable},
    plan::{self, Due, Next},
    run::{Corrupt, Phase, Run},
    store::{Append, Row, Schedule, Store},
};
use serde_json::Value;
use std::sync::Arc;

/// Decides at one moment.
pub(super) struct Decider<'a> {
    pub(super) now: Moment,
    pub(super) chance: &'a Chance,
}

/// A move that is being made.
pub(super) struct Making {
    /// The saga after the entries.
    pub(super) run: Arc<Run>,
    entries: Vec<Entry>,
    /// What comes next.
    pub(super) next: Next,
    interrupted: bool,
}

/// What a move appends.
enum Made {
    Entries(Vec<Entry>),
    /// What it was about to do is not due any more.
    NotDue,
    WantsChild(Due, Wait),
}

impl Decider<'_> {
    /// A move that is written already.
    pub(super) fn done<S: Store>(&self, of: &Move<S>, run: Arc<Run>) -> Outcome {
        let next = plan::plan(&of.known.definition, &run, self.now);
        let interrupted = of.what.is_in_call() && is_cancelled(&run);
        Outcome::Moved { run, next, interrupted }
    }

    /// A move whose claim holds. `answer` is that of its local action, if it has one that was due.
    ///
    /// # Errors
    /// What its holder is told when nothing is to be written.
    pub(super) fn begin<S: Store>(
        &self,
        of: &Move<S>,
        run: Arc<Run>,
        answer: Option<Answer<Value>>,
    ) -> Result<Making, Outcome> {
        let (entries, interrupted) = match self.made(of, &run, answer) {
            Made::WantsChild(due, wait) => return Err(Outcome::WantsChild(due, wait)),
            Made::NotDue => (Vec::new(), true),
            Made::Entries(entries) => (entries, false),
        };
        let mut making = Making { run, entries: Vec::new(), next: Next::Rest, interrupted };
        self.follow(of, &mut making, entries).map_err(|corrupt| Outcome::Unreadable(corrupt.into()))?;
        Ok(making)
    }

    /// The same move goes on with the answer of the next local step.
    ///
    /// # Errors
    /// As [`Decider::begin`].
    pub(super) fn go_on<S: Store>(
        &self,
        of: &Move<S>,
        mut making: Making,
        due: Due,
        answer: Answer<Value>,
    ) -> Result<Making, Outcome> {
        let definition = &of.known.definition;
        let judge = Judge { definition, run: &making.run, due, now: self.now, chance: self.chance };
        let entries = judge.answered(answer);
        self.follow(of, &mut making, entries).map_err(|corrupt| Outcome::Unreadable(corrupt.into()))?;
        Ok(making)
    }

    /// Folds entries and adds the decisions that follow from them.
    fn follow<S: Store>(&self, of: &Move<S>, making: &mut Making, mut entries: Vec<Entry>) -> Result<(), Corrupt> {
        let definition = &of.known.definition;
        // whoever submitted the move keeps the saga as it was
        let run = Arc::make_mut(&mut making.run);
        entries.iter().try_for_each(|entry| run.add(self.now, entry))?;
        // In the middle of a call nothing is decided: its answer comes first.
        if of.what.is_in_call() {
            making.interrupted |= is_cancelled(run);
            making.next = plan::plan(definition, run, self.now);
        } else {
            making.next = plan::advance(definition, run, self.now, &mut entries)?;
        }
        making.entries.append(&mut entries);
        Ok(())
    }

    /// What a move's holder is told, and what is to be written for it.
    pub(super) fn finish<S: Store>(&self, of: &Move<S>, making: Making) -> (Outcome, Append) {
        let Making { run, entries, next, interrupted } = making;
        let append = Append {
            move_id: of.id,
            at: self.now,
            entries: entries.into(),
            row: row(&of.known.definition, &run, &next, of.what.is_in_call()),
            run: Arc::clone(&run),
            schedule: self.schedule(of, &next),
            progress: of.what.is_progress(),
        };
        (Outcome::Moved { run, next, interrupted }, append)
    }

    fn schedule<S: Store>(&self, of: &Move<S>, next: &Next) -> Schedule {
        match next {
            _ if of.what.is_in_call() => Schedule::InCall,
            Next::Run(_) | Next::Probe(_) if of.may_continue => Schedule::Keep,
            Next::Run(_) | Next::Probe(_) | Next::Decide(_) => Schedule::Wake(Some(self.now)),
            Next::Sleep(sleep) => Schedule::Wake(sleep.until),
            Next::Rest => Schedule::Rest,
        }
    }

    /// Whether what a move is about to do is still due: whoever has written meanwhile may have sent the very signal
    /// that this attempt would not have seen.
    pub(super) fn still_due<S: Store>(&self, of: &Move<S>, run: &Run, due: Due) -> bool {
        run.seq == of.run.seq && plan::plan(&of.known.definition, run, self.now) == Next::Run(due)
    }

    /// Whether another worker has brought the same half of the step further meanwhile: a claim may have been read just
    /// before its last holder's move. What people do makes no answer useless.
    fn is_overtaken<S: Store>(of: &Move<S>, run: &Run, due: Due) -> bool {
        let name = &of.known.definition.steps[due.step].step;
        let standing = |run: &Run| {
            let step = run.step(name);
            let lane = step.lane(due.lane);
            (lane.attempt, std::mem::discriminant(&lane.phase))
        };
        run.seq != of.run.seq && standing(run) != standing(&of.run)
    }

    fn made<S: Store>(&self, of: &Move<S>, run: &Run, answer: Option<Answer<Value>>) -> Made {
        let definition = &of.known.definition;
        let judge = |due: Due| Judge { definition, run, due, now: self.now, chance: self.chance };
        let name = |due: Due| definition.steps[due.step].step.clone();
        Made::Entries(match &of.what {
            What::Decide => Vec::new(),
            What::Intend { due, .. } if !self.still_due(of, run, *due) => return Made::NotDue,
            What::Intend { due, intent } => vec![Entry::Intended {
                step: name(*due),
                lane: due.lane,
                attempt: due.attempt,
                intent: storable(intent.clone()),
            }],
            What::Note { unless_told_after: Some(seq), .. } if run.signals.iter().any(|signal| signal.seq > *seq) => {
                return Made::NotDue;
            }
            What::Note { due, note, .. } => vec![Entry::Noted {
                step: name(*due),
                lane: due.lane,
                attempt: due.attempt,
                note: storable(note.clone()),
            }],
            What::Answered { due, .. } | What::Probed { due, .. } if Self::is_overtaken(of, run, *due) => {
                return Made::NotDue;
            }
            What::Answered { due, answer } => judge(*due).answered(answer.clone()),
            What::Probed { due, found } => judge(*due).probed(found.clone()),
            What::Local { due, .. } => match answer {
                None => return Made::NotDue,
                Some(Err(Halt::Wait(wait))) if wait.child.is_some() => {
                    return Made::WantsChild(*due, wait);
                }
                Some(answer) => judge(*due).answered(answer),
            },
            What::Stop { step, cause, failure } => vec![Entry::Stuck {
                step: step.clone(),
                lane: if run.compensating { Lane::Compensation } else { Lane::Forward },
                cause: *cause,
                failure: failure.clone(),
            }],
        })
    }
}

fn row(definition: &Definition, run: &Run, next: &Next, in_call: bool) -> Row {
    let step = current_step(definition, run);
    if in_call {
        return Row { step, waiting_on: "gateway", reason: Some("the answer to a call".to_owned()) };
    }
    Row::of(run, next, step, |index| definition.steps[index].step.clone())
}

/// A person wants it taken back, and that has not begun.
fn is_cancelled(run: &Run) -> bool {
    run.cancel.is_some() && !run.compensating
}

/// The step that a saga stands at, for lists.
pub(crate) fn current_step(definition: &Definition, run: &Run) -> Option<String> {
    if run.state.is_finished() {
        return None;
    }
    let mut steps = definition.steps.iter();
    let open = |step: &&Step| {
        let touched = run.step(&step.step);
        if run.compensating {
            touched.forward.phase != Phase::Untouched
                && step.compensation.is_some()
                && touched.compensation.phase != Phase::Done
        } else {
            touched.forward.phase != Phase::Done
        }
    };
    if run.compensating { steps.rfind(open) } else { steps.find(open) }.map(|step| step.step.clone())
}
