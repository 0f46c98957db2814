//! What comes next: a pure function of a saga's definition, its journal's fold and the time. The live worker
//! and every test of the engine call this one.

use crate::{
    action::{Failure, Lane},
    definition::{Definition, Step},
    journal::{Entry, Moment, StuckCause},
    run::{Corrupt, LaneRun, Phase, Run},
};

/// A step's half with the number of the attempt that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Index of the step in the definition.
    pub step: usize,
    /// Which half.
    pub lane: Lane,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// Whose turn it is while a saga sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The clock's: a start time, a retry's turn, a wait for a time.
    Timer,
    /// A signal's.
    Signal,
    /// The other side's: a call in doubt, an open breaker.
    Gateway,
}

/// Nothing to do until a time or a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sleep {
    /// Wake then at the latest; none: only a signal or a person wakes it.
    pub until: Option<Moment>,
    /// Whose turn it is.
    pub turn: Turn,
    /// For what, in words.
    pub reason: String,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Attempt this.
    Run(Due),
    /// Ask what became of this.
    Probe(Due),
    /// Nothing yet.
    Sleep(Sleep),
    /// Record this decision, and ask again.
    Decide(Entry),
    /// Finished, stuck or paused: nobody owes it anything.
    Rest,
}

/// What comes next for `run` at `now`.
#[must_use]
pub fn plan(definition: &Definition, run: &Run, now: Moment) -> Next {
    use crate::saga::State;
    if run.state.is_finished() || run.state == State::Stuck {
        return Next::Rest;
    }
    if run.state == State::Paused {
        return match run.pause_until {
            None => Next::Rest,
            Some(until) if until <= now => Next::Decide(Entry::Resumed),
            until => sleep(until, Turn::Timer, "the end of its pause"),
        };
    }
    if run.compensating { backward(definition, run, now) } else { forward(definition, run, now) }
}

/// Records every decision that follows from `run` at `now`, appending them to `entries` and folding them, until
/// something must be done or waited for.
///
/// # Errors
/// [`Corrupt`] if a decision does not fit the table of moves: a mistake in this file.
pub fn advance(definition: &Definition, run: &mut Run, now: Moment, entries: &mut Vec<Entry>) -> Result<Next, Corrupt> {
    loop {
        match plan(definition, run, now) {
            Next::Decide(entry) => {
                run.add(now, &entry)?;
                entries.push(entry);
            }
            next => return Ok(next),
        }
    }
}

/// Whether the pivot may have been passed: from then on nothing is taken back.
#[must_use]
pub fn past_pivot(definition: &Definition, run: &Run) -> bool {
    definition.pivot().is_some_and(|pivot| run.step(&definition.steps[pivot].step).forward.may_be_done)
}

fn forward(definition: &Definition, run: &Run, now: Moment) -> Next {
    let reversible = !past_pivot(definition, run);
    if reversible {
        if let Some(cause) = &run.cancel {
            return Next::Decide(Entry::Compensating { cause: cause.clone() });
        }
        if run.deadline_at.is_some_and(|deadline| deadline <= now) {
            let cause = Failure::new("deadline", "the saga's deadline has passed");
            return Next::Decide(Entry::Compensating { cause });
        }
    }
    if now < run.starts_at {
        return sleep(Some(run.starts_at), Turn::Timer, "its start time");
    }
    let undone =
        definition.steps.iter().enumerate().find(|(_, step)| run.step(&step.step).forward.phase != Phase::Done);
    let Some((index, step)) = undone else {
        return Next::Decide(Entry::Completed);
    };
    let next = lane(step, index, Lane::Forward, &run.step(&step.step).forward, run, now, reversible);
    match next {
        Next::Sleep(sleep) if reversible => {
            let until = sleep.until.into_iter().chain(run.deadline_at).min();
            Next::Sleep(Sleep { until, ..sleep })
        }
        next => next,
    }
}

fn backward(definition: &Definition, run: &Run, now: Moment) -> Next {
    let owed = definition.steps.iter().enumerate().rev().find(|(_, step)| {
        let touched = run.step(&step.step);
        step.compensation.is_some()
            && touched.forward.phase != Phase::Untouched
            && touched.compensation.phase != Phase::Done
    });
    match owed {
        Some((index, step)) => {
            lane(step, index, Lane::Compensation, &run.step(&step.step).compensation, run, now, false)
        }
        None => Next::Decide(Entry::Compensated),
    }
}

/// What comes next for one half of one step.
fn lane(step: &Step, index: usize, lane: Lane, at: &LaneRun, run: &Run, now: Moment, reversible: bool) -> Next {
    let again = Due { step: index, lane, attempt: at.attempt + 1 };
    let same = Due { step: index, lane, attempt: at.attempt.max(1) };
    let probed = lane == Lane::Forward && step.probe.is_some();
    match &at.phase {
        Phase::Untouched => Next::Run(again),
        Phase::Open | Phase::Doubt(_) if probed && due(&at.phase, now) => Next::Probe(same),
        Phase::Open => Next::Run(again),
        Phase::Doubt(probe_at) if *probe_at > now => {
            sleep(Some(*probe_at), Turn::Gateway, "what became of a call that is in doubt")
        }
        Phase::Retry(retry_at) if *retry_at > now => sleep(Some(*retry_at), Turn::Timer, "the next attempt"),
        Phase::Doubt(_) | Phase::Retry(_) => Next::Run(again),
        Phase::Parked { until, reason } if *until > now => sleep(Some(*until), Turn::Gateway, reason),
        Phase::Parked { .. } => Next::Run(same),
        Phase::Waiting(wait) => {
            let name = wait.signal_name();
            let came = name.as_deref().is_some_and(|name| run.signal(name).is_some());
            if came || wait.until.is_some_and(|until| until <= now) {
                Next::Run(same)
            } else {
                let turn = if name.is_some() { Turn::Signal } else { Turn::Timer };
                sleep(wait.until, turn, &wait.reason)
            }
        }
        Phase::Failed { permanent } => Next::Decide(given_up(step, lane, at, *permanent, reversible)),
        // a step that is done is never asked for
        Phase::Done => Next::Rest,
    }
}

fn due(phase: &Phase, now: Moment) -> bool {
    !matches!(phase, Phase::Doubt(probe_at) if *probe_at > now)
}

/// No attempt is left: take it back where that is still possible, else stop for a person.
fn given_up(step: &Step, lane: Lane, at: &LaneRun, permanent: bool, reversible: bool) -> Entry {
    let failure = at.failure.clone().unwrap_or_else(|| Failure::new("unknown", "it failed without a reason"));
    if reversible {
        return Entry::Compensating { cause: failure };
    }
    let cause = if permanent { StuckCause::Refused } else { StuckCause::Exhausted };
    Entry::Stuck { step: Some(step.step.clone()), lane, cause, failure }
}

fn sleep(until: Option<Moment>, turn: Turn, reason: &str) -> Next {
    Next::Sleep(Sleep { until, turn, reason: reason.to_owned() })
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod stage;
