//! A definition run on paper: its steps are answered from a script, time is virtual, no action is called and nothing is
//! written. What follows from each answer is decided by the same functions as in a live saga.

mod sample;
mod script;

pub use script::{MockAnswer, MockSignal, MockStep, Script};

use crate::{
    action::{Answer, Erased, Failure, Halt, Lane, Probed, Registry},
    catalog::Known,
    definition::{Definition, InputMistake, Step},
    engine::Engine,
    execute::{half, step_input},
    ids::SagaId,
    journal::{Entry, Moment, Recorded, StuckCause},
    judge::Judge,
    plan::{self, Due, Next},
    run::{Corrupt, Run},
    saga::State,
    store::Store,
};
use chrono::TimeDelta;
use script::{Answers, Half};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// How many entries a mock run has at most.
const ENTRIES_MAX: usize = 1_000;
/// How long it lasts at most.
const LASTS_MAX: TimeDelta = TimeDelta::days(400);

/// Why a mock run ends before its saga does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// It has as many entries as one may have.
    Entries,
    /// It has lasted as long as one may.
    Time,
}

/// One call that the saga would make.
#[derive(Debug, Clone, PartialEq)]
pub struct MockCall {
    /// The step.
    pub step: String,
    /// `action`, `compensation` or `probe`.
    pub half: Half,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The registered name.
    pub calls: String,
    /// When it begins.
    pub at: Moment,
    /// How long it takes; an external call at most its step's timeout.
    pub took: Duration,
    /// What it is given; none where that cannot be put together.
    pub input: Option<Value>,
    /// What it answers: `done`, `transient`, …
    pub answer: &'static str,
    /// Why it was not done.
    pub failure: Option<Failure>,
}

/// What a saga would do.
#[derive(Debug, Clone, PartialEq)]
pub struct MockRun {
    /// How it ends, or where it stands when nothing more happens by itself.
    pub state: State,
    /// Why it is taken back, or stuck.
    pub cause: Option<Failure>,
    /// What it would still wait for.
    pub waits_for: Option<String>,
    /// When it would begin.
    pub began: Moment,
    /// From its beginning to its end.
    pub took: TimeDelta,
    /// The calls, in order.
    pub path: Vec<MockCall>,
    /// The steps that would be taken back, in order.
    pub compensated: Vec<String>,
    /// Its journal.
    pub journal: Vec<Recorded>,
    /// Whether it would go on.
    pub truncated: Option<Truncated>,
}

/// Why there is no mock run.
#[derive(Debug, thiserror::Error)]
pub enum MockRunError {
    /// The script or the input cannot be; pointers lead into `{input, answers, signals}`.
    #[error("the script or the input is not of the expected form")]
    Invalid(Vec<InputMistake>),
    /// A mistake of ours: what was decided does not follow from the journal.
    #[error("the mock run came to a journal that does not read")]
    Corrupt(#[from] Corrupt),
}

/// What a saga of this version would do that begins at `at` and is answered from `script`. Waits last as long as they may:
/// of each backoff the whole is waited.
///
/// # Errors
/// See [`MockRunError`].
fn mock_run<S: Store>(
    known: &Known,
    registry: &Registry<S>,
    script: &Script,
    at: Moment,
) -> Result<MockRun, MockRunError> {
    let mut mistakes = known.check_input(&script.input);
    mistakes.iter_mut().for_each(|mistake| mistake.pointer.insert_str(0, "/input"));
    mistakes.extend(script.mistakes(&known.definition));
    if !mistakes.is_empty() {
        return Err(MockRunError::Invalid(mistakes));
    }
    Ok(play((&known.definition, known.version), registry, script, at)?)
}

fn play<S: Store>(
    of: (&Definition, i32),
    registry: &Registry<S>,
    script: &Script,
    at: Moment,
) -> Result<MockRun, Corrupt> {
    let mut stage = Stage::new(of, registry, script, at)?;
    let truncated = stage.play()?;
    Ok(stage.told(truncated))
}

impl<S: Store> Engine<S> {
    /// As [`mock_run`], with what is registered here, of a saga that begins now.
    ///
    /// # Errors
    /// See [`MockRunError`].
    pub fn mock_run(&self, known: &Known, script: &Script) -> Result<MockRun, MockRunError> {
        mock_run(known, self.registry(), script, self.clock().now())
    }
}

/// A saga on paper.
struct Stage<'a, S: Store> {
    definition: &'a Definition,
    registry: &'a Registry<S>,
    answers: Answers<'a>,
    /// Those that are still to come, in order.
    signals: Vec<(Moment, &'a MockSignal)>,
    began: Moment,
    now: Moment,
    run: Run,
    journal: Vec<Recorded>,
    path: Vec<MockCall>,
    waits_for: Option<String>,
}

impl<'a, S: Store> Stage<'a, S> {
    fn new(
        (definition, version): (&'a Definition, i32),
        registry: &'a Registry<S>,
        script: &'a Script,
        at: Moment,
    ) -> Result<Self, Corrupt> {
        let deadline = definition.deadline.map(|deadline| at + delta(deadline));
        let started = Entry::Started {
            definition: definition.saga.clone(),
            version,
            input: script.input.clone(),
            tags: Default::default(),
            starts_at: at,
            deadline_at: deadline,
            parent: None,
            by: "a mock run".to_owned(),
            trace: None,
        };
        let journal = vec![Recorded { seq: 1, at, entry: started }];
        let mut signals: Vec<_> =
            script.signals.iter().map(|signal| (at + delta(Duration::from_millis(signal.after_ms)), signal)).collect();
        signals.sort_by_key(|(at, _)| *at);
        Ok(Self {
            definition,
            registry,
            answers: Answers::of(script),
            signals,
            began: at,
            now: at,
            run: Run::replay(SagaId(Uuid::nil()), &journal)?,
            journal,
            path: Vec::new(),
            waits_for: None,
        })
    }

    /// Goes on until nothing more happens by itself.
    fn play(&mut self) -> Result<Option<Truncated>, Corrupt> {
        loop {
            let mut decisions = Vec::new();
            let mut run = self.run.clone();
            let next = plan::advance(self.definition, &mut run, self.now, &mut decisions)?;
            self.add(decisions)?;
            match next {
                Next::Run(due) => self.attempt(due)?,
                Next::Probe(due) => self.ask(due)?,
                Next::Sleep(sleep) => {
                    let signal = self.signals.first().map(|(at, _)| *at);
                    let Some(wakes) = sleep.until.into_iter().chain(signal).min() else {
                        self.waits_for = Some(sleep.reason);
                        return Ok(None);
                    };
                    self.pass_until(wakes)?;
                }
                Next::Rest | Next::Decide(_) => return Ok(None),
            }
            if self.journal.len() >= ENTRIES_MAX {
                return Ok(Some(Truncated::Entries));
            }
            if self.now - self.began >= LASTS_MAX {
                return Ok(Some(Truncated::Time));
            }
        }
    }

    fn add(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), Corrupt> {
        for entry in entries {
            self.run.add(self.now, &entry)?;
            self.journal.push(Recorded { seq: self.run.seq, at: self.now, entry });
        }
        Ok(())
    }

    /// Lets time pass; the signals that come meanwhile are heard when they come.
    fn pass_until(&mut self, then: Moment) -> Result<(), Corrupt> {
        let due = self.signals.partition_point(|(at, _)| *at <= then);
        for (at, signal) in self.signals.drain(..due).collect::<Vec<_>>() {
            self.now = self.now.max(at);
            let MockSignal { name, payload, .. } = signal.clone();
            self.add([Entry::Signalled { name, payload, by: "a mock run".to_owned() }])?;
        }
        self.now = self.now.max(then);
        Ok(())
    }

    fn attempt(&mut self, due: Due) -> Result<(), Corrupt> {
        let step = &self.definition.steps[due.step];
        let (name, timeout) = half(step, due.lane);
        let Some(registered) = self.registry.get(name) else { return self.unknown(step, name) };
        let external = matches!(registered.erased, Erased::External(_));
        let input = step_input(step, &self.run);
        if external && input.is_ok() {
            let (step, lane, attempt) = (step.step.clone(), due.lane, due.attempt);
            self.add([Entry::Intended { step, lane, attempt, intent: Value::Null }])?;
        }
        let given = match &input {
            Ok(_) => self.answers.next(&step.step, Half::of(due.lane)),
            Err(_) => MockAnswer::default(),
        };
        let (took, answer) = match &input {
            Err(error) => (Duration::ZERO, Err(Halt::permanent("invalid-input", error.to_string()))),
            Ok(_) => match given.within(timeout) {
                Some(took) => (took, given.answer(self.now + delta(took), || sample::of(&registered.output))),
                None if external => (timeout, Err(timed_out(Halt::in_doubt, timeout))),
                None => (timeout, Err(timed_out(Halt::transient, timeout))),
            },
        };
        self.told_of(due, Half::of(due.lane), name, input.ok(), took, &answer);
        self.pass_until(self.now + delta(took))?;
        let judge = Judge { definition: self.definition, run: &self.run, due, now: self.now, chance: &|most| most };
        let entries = judge.answered(answer);
        self.add(entries)
    }

    fn ask(&mut self, due: Due) -> Result<(), Corrupt> {
        let step = &self.definition.steps[due.step];
        let name = step.probe.as_deref().unwrap_or_default();
        let Some(registered) = self.registry.get(name) else { return self.unknown(step, name) };
        let given = self.answers.next(&step.step, Half::Probe);
        let (took, found) = match given.within(step.timeout) {
            Some(took) => (took, given.finding(self.now + delta(took), || sample::of(&registered.output))),
            None => (step.timeout, Err(timed_out(Halt::in_doubt, step.timeout))),
        };
        let input = step_input(step, &self.run).ok();
        self.told_of(due, Half::Probe, name, input, took, &found);
        self.pass_until(self.now + delta(took))?;
        let judge = Judge { definition: self.definition, run: &self.run, due, now: self.now, chance: &|most| most };
        let entries = judge.probed(found);
        self.add(entries)
    }

    /// As a worker that does not know the name.
    fn unknown(&mut self, step: &Step, name: &str) -> Result<(), Corrupt> {
        let failure = Failure::new("action-unknown", format!("this release knows no action `{name}`"));
        let lane = if self.run.compensating { Lane::Compensation } else { Lane::Forward };
        let cause = StuckCause::DefinitionUnknown;
        self.add([Entry::Stuck { step: Some(step.step.clone()), lane, cause, failure }])
    }

    fn told_of(
        &mut self,
        due: Due,
        half: Half,
        calls: &str,
        input: Option<Value>,
        took: Duration,
        answer: &Answer<impl Told>,
    ) {
        let step = self.definition.steps[due.step].step.clone();
        let (answer, failure) = match answer {
            Ok(told) => told.told(),
            Err(halt) => halt.told(),
        };
        let (attempt, calls, at) = (due.attempt, calls.to_owned(), self.now);
        self.path.push(MockCall { step, half, attempt, calls, at, took, input, answer, failure });
    }

    fn told(self, truncated: Option<Truncated>) -> MockRun {
        let taken_back = |recorded: &Recorded| match &recorded.entry {
            Entry::Succeeded { step, lane: Lane::Compensation, .. } => Some(step.clone()),
            _ => None,
        };
        let stuck = self.run.stuck.as_ref().map(|stuck| stuck.failure.clone());
        MockRun {
            state: self.run.state,
            cause: stuck.or_else(|| self.run.cause.clone()),
            waits_for: self.waits_for,
            began: self.began,
            took: self.now - self.began,
            compensated: self.journal.iter().filter_map(taken_back).collect(),
            path: self.path,
            journal: self.journal,
            truncated,
        }
    }
}

/// What a call has come to, for people.
trait Told {
    fn told(&self) -> (&'static str, Option<Failure>);
}

impl Told for Value {
    fn told(&self) -> (&'static str, Option<Failure>) {
        ("done", None)
    }
}

impl Told for Probed<Value> {
    fn told(&self) -> (&'static str, Option<Failure>) {
        match self {
            Self::Executed(_) => ("done", None),
            Self::NotExecuted => ("notExecuted", None),
            Self::Refused(failure) => ("permanent", Some(failure.clone())),
        }
    }
}

impl Told for Halt {
    fn told(&self) -> (&'static str, Option<Failure>) {
        match self {
            Self::Transient { failure, .. } => ("transient", Some(failure.clone())),
            Self::Permanent(failure) => ("permanent", Some(failure.clone())),
            Self::InDoubt(failure) => ("inDoubt", Some(failure.clone())),
            Self::Wait(_) => ("wait", None),
            Self::Parked { .. } => ("parked", None),
            Self::Superseded => ("superseded", None),
        }
    }
}

fn timed_out(halt: impl Fn(&'static str, String) -> Halt, timeout: Duration) -> Halt {
    halt("timeout", format!("no answer within {} ms", timeout.as_millis()))
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(LASTS_MAX).min(LASTS_MAX)
}

#[cfg(test)]
mod tests;
