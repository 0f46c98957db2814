//! Where a saga stands: the fold of its journal. Nothing else is remembered between two moves.

use crate::{
    action::{Failure, Lane, Signal, Wait},
    ids::SagaId,
    journal::{ActKind, Entry, Moment, Recorded, StuckCause, TakenOver},
    saga::{Event, IllegalTransition, State},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A journal that cannot have been written by us: impossible data, not a mistake of the caller.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Corrupt {
    /// An entry makes a move that does not exist.
    #[error("engine.journal {saga_id} seq {seq}: {source}")]
    Transition {
        /// The saga.
        saga_id: SagaId,
        /// The entry.
        seq: i64,
        /// What is wrong.
        source: IllegalTransition,
    },
    /// The first entry is not the start, or a start is not the first.
    #[error("engine.journal {saga_id} seq {seq}: the start stands where it cannot")]
    Start {
        /// The saga.
        saga_id: SagaId,
        /// The entry.
        seq: i64,
    },
    /// An entry is missing.
    #[error("engine.journal {saga_id}: seq {found} follows {after}")]
    Gap {
        /// The saga.
        saga_id: SagaId,
        /// The last good one.
        after: i64,
        /// The next one found.
        found: i64,
    },
}

/// How far one half of a step has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Never attempted.
    Untouched,
    /// An intent without a result: it may have run.
    Open,
    /// It failed, and is tried again at this time.
    Retry(Moment),
    /// Nobody knows whether it ran; the other side is asked at this time.
    Doubt(Moment),
    /// For a signal or a time.
    Waiting(Wait),
    /// Behind something that is away.
    Parked {
        /// Until when.
        until: Moment,
        /// Behind what.
        reason: String,
    },
    /// Done.
    Done,
    /// Certainly not done, and no attempt is left.
    Failed {
        /// Another attempt could not have helped.
        permanent: bool,
    },
}

/// Why a step that waited runs again.
#[derive(Debug, Clone, PartialEq)]
pub enum Resumed {
    /// The signal came.
    BySignal(Signal),
    /// The time came.
    ByTime,
}

/// One half of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneRun {
    /// How far it has come.
    pub phase: Phase,
    /// The number of the last attempt.
    pub attempt: u32,
    /// Failures and doubts since the last time a person had it tried again: what the policy counts.
    pub failures: u32,
    /// Intents and notes, oldest first.
    pub notes: Vec<Value>,
    /// What it gave.
    pub output: Option<Value>,
    /// The last failure.
    pub failure: Option<Failure>,
    /// What ended its last wait.
    pub resumed: Option<Resumed>,
    /// It may have had its effect: a call was about to be made, and nothing has shown since that it was not.
    pub may_be_done: bool,
}

impl Default for LaneRun {
    fn default() -> Self {
        Self {
            phase: Phase::Untouched,
            attempt: 0,
            failures: 0,
            notes: Vec::new(),
            output: None,
            failure: None,
            resumed: None,
            may_be_done: false,
        }
    }
}

impl LaneRun {
    /// The failures there would be with one more: what ends a doubt was counted when the doubt began.
    #[must_use]
    pub fn failures_with_one_more(&self) -> u32 {
        if matches!(self.phase, Phase::Doubt(_)) { self.failures } else { self.failures + 1 }
    }
}

/// Both halves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepRun {
    /// The action.
    pub forward: LaneRun,
    /// The compensation.
    pub compensation: LaneRun,
    /// What the action takes, where a person has given it.
    pub input: Option<Value>,
}

impl StepRun {
    /// Done by a saga before.
    fn taken_over(taken: &TakenOver) -> Self {
        let TakenOver { attempt, notes, output, input } = taken.clone();
        let output = Some(output);
        let forward = LaneRun { phase: Phase::Done, attempt, notes, output, may_be_done: true, ..LaneRun::default() };
        Self { forward, input, ..Self::default() }
    }

    /// One half.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &LaneRun {
        match lane {
            Lane::Forward => &self.forward,
            Lane::Compensation => &self.compensation,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneRun {
        match lane {
            Lane::Forward => &mut self.forward,
            Lane::Compensation => &mut self.compensation,
        }
    }
}

/// Where and why a saga stopped for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Stuck {
    /// The step.
    pub step: Option<String>,
    /// Its half.
    pub lane: Lane,
    /// The kind of trouble.
    pub cause: StuckCause,
    /// The trouble.
    pub failure: Failure,
}

/// A saga as its journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which.
    pub saga_id: SagaId,
    /// The last entry.
    pub seq: i64,
    /// Where it stands.
    pub state: State,
    /// What it runs.
    pub definition: String,
    /// At which version.
    pub version: i32,
    /// Its input.
    pub input: Value,
    /// What lists filter by.
    pub tags: BTreeMap<String, String>,
    /// When it was started.
    pub created_at: Moment,
    /// Nothing runs before.
    pub starts_at: Moment,
    /// Until when its pivot must be done.
    pub deadline_at: Option<Moment>,
    /// The saga that started it.
    pub parent: Option<SagaId>,
    /// Its steps by name; one that is missing was never touched.
    pub steps: BTreeMap<String, StepRun>,
    /// Signals that nothing has taken yet.
    pub signals: Vec<Signal>,
    /// A person wants it taken back.
    pub cancel: Option<Failure>,
    /// Why it is being taken back.
    pub cause: Option<Failure>,
    /// It goes backward.
    pub compensating: bool,
    /// What stopped it.
    pub stuck: Option<Stuck>,
    /// When its pause ends by itself.
    pub pause_until: Option<Moment>,
    /// The saga whose keys its calls carry: itself, or the first of its line of forks.
    pub keys_of: SagaId,
    /// The saga that goes on in its place.
    pub forked_into: Option<SagaId>,
    /// The trace that it is part of, as a W3C `traceparent`.
    pub trace: Option<String>,
}

impl Run {
    /// The fold of a whole journal.
    ///
    /// # Errors
    /// [`Corrupt`] when the journal cannot have been written by us.
    pub fn replay(saga_id: SagaId, journal: &[Recorded]) -> Result<Self, Corrupt> {
        let Some((first, rest)) = journal.split_first() else {
            return Err(Corrupt::Start { saga_id, seq: 0 });
        };
        let mut run = Self::begin(saga_id, first)?;
        rest.iter().try_for_each(|recorded| run.apply(recorded))?;
        Ok(run)
    }

    fn begin(saga_id: SagaId, first: &Recorded) -> Result<Self, Corrupt> {
        let Entry::Started { definition, version, input, tags, starts_at, deadline_at, parent, trace, .. } =
            &first.entry
        else {
            return Err(Corrupt::Start { saga_id, seq: first.seq });
        };
        if first.seq != 1 {
            return Err(Corrupt::Gap { saga_id, after: 0, found: first.seq });
        }
        Ok(Self {
            saga_id,
            seq: 1,
            state: State::Running,
            definition: definition.clone(),
            version: *version,
            input: input.clone(),
            tags: tags.clone(),
            created_at: first.at,
            starts_at: *starts_at,
            deadline_at: *deadline_at,
            parent: *parent,
            steps: BTreeMap::new(),
            signals: Vec::new(),
            cancel: None,
            cause: None,
            compensating: false,
            stuck: None,
            pause_until: None,
            keys_of: saga_id,
            forked_into: None,
            trace: trace.clone(),
        })
    }

    /// A step, touched or not.
    #[must_use]
    pub fn step(&self, name: &str) -> std::borrow::Cow<'_, StepRun> {
        self.steps.get(name).map_or_else(|| std::borrow::Cow::Owned(StepRun::default()), std::borrow::Cow::Borrowed)
    }

    /// The outputs of the steps that are done, by step.
    #[must_use]
    pub fn outputs(&self) -> BTreeMap<&str, &Value> {
        self.steps.iter().filter_map(|(name, step)| Some((name.as_str(), step.forward.output.as_ref()?))).collect()
    }

    /// The first signal with this name that nothing has taken yet.
    #[must_use]
    pub fn signal(&self, name: &str) -> Option<&Signal> {
        self.signals.iter().find(|signal| signal.name == name)
    }

    /// A step waits for this signal, which has not come.
    #[must_use]
    pub fn lacks_signal(&self, name: &str) -> bool {
        let waits =
            |lane: &LaneRun| matches!(&lane.phase, Phase::Waiting(wait) if wait.signal_name().as_deref() == Some(name));
        self.signal(name).is_none() && self.steps.values().any(|step| waits(&step.forward) || waits(&step.compensation))
    }

    /// Adds an entry that was read.
    ///
    /// # Errors
    /// [`Corrupt`] when the entry cannot follow.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), Corrupt> {
        if recorded.seq != self.seq + 1 {
            return Err(Corrupt::Gap { saga_id: self.saga_id, after: self.seq, found: recorded.seq });
        }
        self.add(recorded.at, &recorded.entry)
    }

    /// Adds the entry that comes next.
    ///
    /// # Errors
    /// [`Corrupt`] when the entry cannot follow.
    pub fn add(&mut self, at: Moment, entry: &Entry) -> Result<(), Corrupt> {
        let (saga_id, seq) = (self.saga_id, self.seq + 1);
        if let Some(event) = self.event_of(entry) {
            self.state = self.state.on(event).map_err(|source| Corrupt::Transition { saga_id, seq, source })?;
        }
        self.seq = seq;
        match entry {
            Entry::Started { .. } => return Err(Corrupt::Start { saga_id, seq }),
            Entry::Signalled { name, payload, .. } => {
                self.signals.push(Signal { seq, name: name.clone(), payload: payload.clone() });
                self.ask_again(at);
            }
            Entry::Acted { act, reason, by, .. } => self.acted(*act, reason, by, at),
            Entry::Paused { until } => self.pause_until = *until,
            Entry::Resumed => self.pause_until = None,
            Entry::InputGiven { step, input } => {
                let step = self.steps.entry(step.clone()).or_default();
                step.input = Some(input.clone());
                step.forward.failures = 0;
                if step.forward.phase != Phase::Untouched {
                    step.forward.phase = Phase::Retry(at);
                }
            }
            Entry::ForkedInto { saga, .. } => self.forked_into = Some(*saga),
            Entry::ForkedFrom { keys_of, steps, .. } => {
                self.keys_of = *keys_of;
                self.steps = steps.iter().map(|(step, taken)| (step.clone(), StepRun::taken_over(taken))).collect();
            }
            Entry::Compensating { cause } => {
                self.compensating = true;
                self.cause = Some(cause.clone());
                self.stuck = None;
            }
            Entry::Stuck { step, lane, cause, failure } => {
                self.pause_until = None;
                self.stuck = Some(Stuck { step: step.clone(), lane: *lane, cause: *cause, failure: failure.clone() });
            }
            Entry::Completed | Entry::Compensated | Entry::Killed => self.stuck = None,
            about_a_step => self.touched(about_a_step),
        }
        Ok(())
    }

    /// The move in the table that an entry makes; none for entries that leave the state as it is.
    fn event_of(&self, entry: &Entry) -> Option<Event> {
        match entry {
            Entry::Intended { .. } | Entry::Noted { .. } | Entry::Succeeded { .. } => Some(Event::Proceeds),
            Entry::Failed { retry_at: Some(_), .. }
            | Entry::InDoubt { .. }
            | Entry::Waits { .. }
            | Entry::Parked { .. } => Some(Event::Waits),
            Entry::Compensating { .. } => Some(Event::Compensates),
            Entry::Stuck { .. } => Some(Event::Sticks),
            Entry::Acted { act, .. } if goes_on(*act) && self.compensating => Some(Event::RetriedBackward),
            Entry::Acted { act, .. } if goes_on(*act) => Some(Event::RetriedForward),
            Entry::Acted { .. }
            | Entry::Started { .. }
            | Entry::Failed { .. }
            | Entry::Signalled { .. }
            | Entry::InputGiven { .. }
            | Entry::ForkedInto { .. }
            | Entry::ForkedFrom { .. } => None,
            Entry::Paused { .. } => Some(Event::Pauses),
            Entry::Resumed if self.compensating => Some(Event::ResumedBackward),
            Entry::Resumed => Some(Event::ResumedForward),
            Entry::Completed => Some(Event::Completes),
            Entry::Compensated => Some(Event::Undone),
            Entry::Killed => Some(Event::Killed),
        }
    }

    /// What somebody tells may settle what is in doubt, and may be all that a parked step needs. The wait before a retry
    /// stays: it is what attempts are made to last with.
    fn ask_again(&mut self, at: Moment) {
        for step in self.steps.values_mut() {
            for lane in [&mut step.forward, &mut step.compensation] {
                if let Phase::Doubt(until) | Phase::Parked { until, .. } = &mut lane.phase {
                    *until = at.min(*until);
                }
            }
        }
    }

    fn acted(&mut self, act: ActKind, reason: &str, by: &str, at: Moment) {
        match act {
            ActKind::Retry => {
                self.stuck = None;
                let compensating = self.compensating;
                for step in self.steps.values_mut() {
                    let lane = if compensating { &mut step.compensation } else { &mut step.forward };
                    lane.failures = 0;
                    match &lane.phase {
                        Phase::Failed { .. } | Phase::Retry(_) | Phase::Parked { .. } => lane.phase = Phase::Retry(at),
                        Phase::Doubt(_) => lane.phase = Phase::Doubt(at),
                        _ => {}
                    }
                }
            }
            ActKind::Cancel => {
                self.cancel = Some(Failure::new("cancelled", format!("cancelled by {by}: {reason}")));
            }
            ActKind::Skip | ActKind::Complete | ActKind::EditInput => self.stuck = None,
            ActKind::Probe => self.ask_again(at),
            ActKind::Kill | ActKind::Pause | ActKind::Resume | ActKind::Fork => {}
        }
    }

    fn touched(&mut self, entry: &Entry) {
        let (step, lane, attempt) = match entry {
            Entry::Intended { step, lane, attempt, .. }
            | Entry::Noted { step, lane, attempt, .. }
            | Entry::Succeeded { step, lane, attempt, .. }
            | Entry::Failed { step, lane, attempt, .. }
            | Entry::InDoubt { step, lane, attempt, .. } => (step, *lane, Some(*attempt)),
            Entry::Waits { step, lane, .. } | Entry::Parked { step, lane, .. } => (step, *lane, None),
            _ => return,
        };
        let run = self.steps.entry(step.clone()).or_default().lane_mut(lane);
        if let Phase::Waiting(wait) = &run.phase {
            run.resumed = Some(take_signal(&mut self.signals, wait));
        }
        run.attempt = attempt.unwrap_or(run.attempt);
        match entry {
            Entry::Intended { intent, .. } => {
                run.phase = Phase::Open;
                run.may_be_done = true;
                if !intent.is_null() {
                    run.notes.push(intent.clone());
                }
            }
            Entry::Noted { note, .. } => run.notes.push(note.clone()),
            Entry::Succeeded { output, .. } => {
                run.phase = Phase::Done;
                run.may_be_done = true;
                run.output = Some(output.clone());
                run.failure = None;
            }
            Entry::Failed { failure, permanent, retry_at, .. } => {
                run.failures = run.failures_with_one_more();
                run.may_be_done = false;
                run.failure = Some(failure.clone());
                run.phase = retry_at.map_or(Phase::Failed { permanent: *permanent }, Phase::Retry);
            }
            Entry::InDoubt { failure, probe_at, parked, .. } => {
                run.failures += u32::from(!*parked);
                run.failure = Some(failure.clone());
                run.phase = Phase::Doubt(*probe_at);
                run.may_be_done = true;
            }
            Entry::Waits { wait, .. } => {
                run.resumed = None;
                run.phase = Phase::Waiting(wait.clone());
            }
            Entry::Parked { until, reason, .. } => {
                run.may_be_done = false;
                run.phase = Phase::Parked { until: *until, reason: reason.clone() };
            }
            _ => {}
        }
    }
}

/// Whether a saga that has stopped for a person goes on with this act.
fn goes_on(act: ActKind) -> bool {
    matches!(act, ActKind::Retry | ActKind::Skip | ActKind::Complete | ActKind::EditInput)
}

/// What ended `wait`: its signal, which is taken out of `signals`, or else its time.
fn take_signal(signals: &mut Vec<Signal>, wait: &Wait) -> Resumed {
    let position = wait.signal_name().and_then(|name| signals.iter().position(|signal| signal.name == name));
    position.map_or(Resumed::ByTime, |position| Resumed::BySignal(signals.remove(position)))
}
