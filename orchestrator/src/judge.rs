//! What an attempt's answer means for its saga: a pure function. Chance is passed in.

use crate::{
    action::{Answer, Failure, Halt, Lane, Probed},
    definition::{Definition, Retry, Step},
    journal::{Entry, Moment, StuckCause},
    plan::{self, Due},
    run::{LaneRun, Run},
    saga::State,
};
use chrono::TimeDelta;
use serde_json::Value;
use std::time::Duration;

/// Draws a whole number from zero to the given one, evenly.
pub type Chance = dyn Fn(u64) -> u64 + Send + Sync;

/// However long somebody asks us to wait, we come back after this.
pub const PATIENCE_MAX: Duration = Duration::from_secs(300);

/// Judges answers for one half of one step of one saga at one moment.
pub(crate) struct Judge<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) run: &'a Run,
    pub(crate) due: Due,
    pub(crate) now: Moment,
    pub(crate) chance: &'a Chance,
}

impl Judge<'_> {
    fn step(&self) -> &Step {
        &self.definition.steps[self.due.step]
    }

    fn lane_run(&self) -> LaneRun {
        self.run.step(&self.step().step).lane(self.due.lane).clone()
    }

    fn retry(&self) -> Retry {
        self.step().retry_of(self.due.lane)
    }

    /// The entries that an action's answer makes.
    pub(crate) fn answered(&self, answer: Answer<Value>) -> Vec<Entry> {
        self.meaning(answer).into_iter().map(storable_entry).collect()
    }

    fn meaning(&self, answer: Answer<Value>) -> Vec<Entry> {
        let (step, lane, attempt) = (self.step().step.clone(), self.due.lane, self.due.attempt);
        match answer {
            Ok(output) => {
                vec![Entry::Succeeded { step, lane, attempt, output: storable(output), probed: false }]
            }
            Err(Halt::Transient { failure, after }) => vec![self.failed(failure, after)],
            Err(Halt::Permanent(failure)) => vec![self.refused(failure)],
            // the other side is asked at least once, whatever the policy has left
            Err(Halt::InDoubt(failure)) if self.can_ask() => vec![self.doubt(failure)],
            Err(Halt::InDoubt(failure)) => self.in_doubt(failure),
            Err(Halt::Wait(wait)) if wait.signal_name().is_none() && wait.until.is_none() => {
                vec![self.refused(Failure::new("endless-wait", "it waits for neither a signal nor a time"))]
            }
            Err(Halt::Wait(wait)) => vec![Entry::Waits { step, lane, wait }],
            Err(Halt::Parked { after, reason }) => {
                let until = self.now + delta(after.min(PATIENCE_MAX));
                vec![Entry::Parked { step, lane, until, reason }]
            }
            Err(Halt::Superseded) => Vec::new(),
        }
    }

    /// The entries that a probe's answer makes.
    pub(crate) fn probed(&self, found: Answer<Probed<Value>>) -> Vec<Entry> {
        self.finding(found).into_iter().map(storable_entry).collect()
    }

    fn finding(&self, found: Answer<Probed<Value>>) -> Vec<Entry> {
        let (step, lane, attempt) = (self.step().step.clone(), self.due.lane, self.due.attempt);
        match found {
            Ok(Probed::Executed(output)) => {
                vec![Entry::Succeeded { step, lane, attempt, output: storable(output), probed: true }]
            }
            Ok(Probed::NotExecuted) => {
                let known = self.lane_run().failure;
                let failure = known.unwrap_or_else(|| Failure::new("not-executed", "the call never arrived"));
                vec![self.failed(failure, None)]
            }
            Ok(Probed::Refused(failure)) => vec![self.refused(failure)],
            Err(Halt::Wait(wait)) if wait.signal_name().is_some() || wait.until.is_some() => {
                vec![Entry::Waits { step, lane, wait }]
            }
            Err(Halt::Superseded) => Vec::new(),
            Err(Halt::InDoubt(failure) | Halt::Permanent(failure) | Halt::Transient { failure, .. }) => {
                self.in_doubt(failure)
            }
            Err(Halt::Parked { after, reason }) => {
                let probe_at = self.now + delta(after.min(PATIENCE_MAX));
                let failure = self.lane_run().failure.unwrap_or_else(|| Failure::new("parked", reason));
                vec![Entry::InDoubt { step, lane, attempt, failure, probe_at, parked: true }]
            }
            Err(Halt::Wait(_)) => self.in_doubt(Failure::new("endless-wait", "the probe waits for nothing")),
        }
    }

    fn failed(&self, failure: Failure, after: Option<Duration>) -> Entry {
        let made = self.lane_run().failures_with_one_more();
        let retry_at = self.retry().allows(made).then(|| self.later(made, after));
        Entry::Failed {
            step: self.step().step.clone(),
            lane: self.due.lane,
            attempt: self.due.attempt,
            failure,
            permanent: false,
            retry_at,
        }
    }

    fn refused(&self, failure: Failure) -> Entry {
        Entry::Failed {
            step: self.step().step.clone(),
            lane: self.due.lane,
            attempt: self.due.attempt,
            failure,
            permanent: true,
            retry_at: None,
        }
    }

    /// Whether the other side can be asked what became of this attempt.
    fn can_ask(&self) -> bool {
        self.due.lane == Lane::Forward && self.step().probe.is_some()
    }

    fn doubt(&self, failure: Failure) -> Entry {
        let probe_at = self.later(self.lane_run().failures + 1, None);
        Entry::InDoubt {
            step: self.step().step.clone(),
            lane: self.due.lane,
            attempt: self.due.attempt,
            failure,
            probe_at,
            parked: false,
        }
    }

    /// Doubt is kept until the policy is used up; then the compensation settles it, or a person.
    fn in_doubt(&self, failure: Failure) -> Vec<Entry> {
        let (step, lane) = (self.step().step.clone(), self.due.lane);
        let mut entries = vec![self.doubt(failure.clone())];
        // a saga that was paused meanwhile decides nothing before it goes on
        if !self.retry().allows(self.lane_run().failures + 1) && self.run.state != State::Paused {
            let pivot = self.definition.pivot();
            let reversible = lane == Lane::Forward
                && pivot != Some(self.due.step)
                && !plan::past_pivot(self.definition, self.run)
                && !self.run.compensating;
            entries.push(if reversible {
                Entry::Compensating { cause: failure }
            } else {
                Entry::Stuck { step: Some(step), lane, cause: StuckCause::Exhausted, failure }
            });
        }
        entries
    }

    /// Full jitter, but not before what the other side asked for.
    fn later(&self, made: u32, after: Option<Duration>) -> Moment {
        let ceiling = u64::try_from(self.retry().ceiling(made).as_millis()).unwrap_or(u64::MAX);
        let drawn = Duration::from_millis((self.chance)(ceiling));
        self.now + delta(drawn.max(after.unwrap_or_default().min(PATIENCE_MAX)))
    }
}

/// Postgres' JSON has no NUL; what an outside answer brings must not make a saga impossible to record.
pub(crate) fn storable(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (name.replace('\0', "\u{fffd}"), storable(value))).collect(),
        ),
        other => other,
    }
}

/// The same for whatever texts an entry brings along.
fn storable_entry(entry: Entry) -> Entry {
    if matches!(entry, Entry::Succeeded { .. }) {
        return entry;
    }
    let value = serde_json::json!(entry);
    let clean = storable(value.clone());
    if clean == value { entry } else { serde_json::from_value(clean).unwrap_or(entry) }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
