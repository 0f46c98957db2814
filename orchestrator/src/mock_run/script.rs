//! What the steps of a mock run answer.

use crate::{
    action::{Answer, Failure, Halt, Lane, Probed, Wait},
    definition::{Definition, InputMistake},
    journal::Moment,
};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// How long anything takes or waits at most, in milliseconds: longer than any mock run.
const MS_MAX: u64 = 400 * 86_400_000;

/// Input, answers and signals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// The saga's.
    pub input: Value,
    /// By step.
    pub answers: BTreeMap<String, MockStep>,
    /// What comes from outside.
    pub signals: Vec<MockSignal>,
}

/// What the calls of a step answer, one after another. The last answer goes on; where there is none, it is done.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MockStep {
    /// Its action's.
    pub action: Vec<MockAnswer>,
    /// Its compensation's.
    pub compensation: Vec<MockAnswer>,
    /// Its probe's.
    pub probe: Vec<MockAnswer>,
}

/// A signal from outside.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MockSignal {
    /// Its name.
    pub name: String,
    /// What comes with it.
    #[serde(default)]
    pub payload: Value,
    /// How long after the saga's start, in milliseconds.
    #[serde(default)]
    pub after_ms: u64,
}

/// What a call comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// It is done; of a probe: it was.
    #[default]
    Done,
    /// Not this time.
    Transient,
    /// Never.
    Permanent,
    /// Nobody knows.
    InDoubt,
    /// For a signal or a time.
    Wait,
    /// Behind something that is away.
    Parked,
    /// Of a probe: it was certainly not done.
    NotExecuted,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MockAnswer {
    /// What the call comes to.
    pub answer: Kind,
    /// Of what is done, what it gives; without it, something of the form that the action has.
    #[serde(default)]
    pub output: Option<Value>,
    /// Of what is not done, the failure's code; `mocked` without it.
    #[serde(default)]
    pub code: Option<String>,
    /// Of what is transient, not before; of what is parked, or waits, for so long: in milliseconds.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// Of what waits, for this signal.
    #[serde(default)]
    pub signal: Option<String>,
    /// How long the call takes, in milliseconds; longer than its step's timeout: it is cut off then.
    #[serde(default)]
    pub takes_ms: u64,
}

/// What of a step is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Half {
    /// The action.
    Action,
    /// What takes it back.
    Compensation,
    /// What asks about it.
    Probe,
}

impl Half {
    pub(super) fn of(lane: Lane) -> Self {
        match lane {
            Lane::Forward => Self::Action,
            Lane::Compensation => Self::Compensation,
        }
    }

    /// As scripts and answers name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensation => "compensation",
            Self::Probe => "probe",
        }
    }
}

impl Script {
    /// What cannot be, with pointers into `{answers, signals}`.
    pub(super) fn mistakes(&self, definition: &Definition) -> Vec<InputMistake> {
        let mut found = Vec::new();
        let mut wrong = |pointer: String, message: String| found.push(InputMistake { pointer, message });
        for (name, answers) in &self.answers {
            let at = format!("/answers/{}", name.replace('~', "~0").replace('/', "~1"));
            let Some(step) = definition.steps.iter().find(|step| step.step == *name) else {
                wrong(at, format!("`{}` has no step `{name}`", definition.saga));
                continue;
            };
            if step.compensation.is_none() && !answers.compensation.is_empty() {
                wrong(format!("{at}/compensation"), format!("`{name}` has no compensation"));
            }
            if step.probe.is_none() && !answers.probe.is_empty() {
                wrong(format!("{at}/probe"), format!("`{name}` has no probe"));
            }
            for half in [Half::Action, Half::Compensation, Half::Probe] {
                for (place, answer) in answers.of(half).iter().enumerate() {
                    for (member, message) in answer.mistakes(half) {
                        wrong(format!("{at}/{}/{place}/{member}", half.as_str()), message);
                    }
                }
            }
        }
        for (place, signal) in self.signals.iter().enumerate().filter(|(_, signal)| signal.after_ms > MS_MAX) {
            wrong(format!("/signals/{place}/afterMs"), format!("{} is more than {MS_MAX}", signal.after_ms));
        }
        found
    }
}

impl MockStep {
    fn of(&self, half: Half) -> &[MockAnswer] {
        match half {
            Half::Action => &self.action,
            Half::Compensation => &self.compensation,
            Half::Probe => &self.probe,
        }
    }
}

impl MockAnswer {
    fn mistakes(&self, half: Half) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut only = |member, there: bool, kinds: &[Kind], with: &str| {
            if there && !kinds.contains(&self.answer) {
                found.push((member, format!("goes with {with} only")));
            }
        };
        use Kind::{Done, InDoubt, NotExecuted, Parked, Permanent, Transient, Wait};
        only("output", self.output.is_some(), &[Done], "done");
        only("code", self.code.is_some(), &[Transient, Permanent, InDoubt], "transient, permanent and inDoubt");
        only("afterMs", self.after_ms.is_some(), &[Transient, Wait, Parked], "transient, wait and parked");
        only("signal", self.signal.is_some(), &[Wait], "wait");
        if self.answer == NotExecuted && half != Half::Probe {
            found.push(("answer", "notExecuted is what a probe finds".to_owned()));
        }
        if self.answer == Wait && self.signal.is_none() && self.after_ms.is_none() {
            found.push(("answer", "wait needs a signal, afterMs or both".to_owned()));
        }
        for (member, ms) in [("afterMs", self.after_ms.unwrap_or_default()), ("takesMs", self.takes_ms)] {
            if ms > MS_MAX {
                found.push((member, format!("{ms} is more than {MS_MAX}")));
            }
        }
        found
    }

    /// How long the call takes, where it ends in time.
    pub(super) fn within(&self, timeout: Duration) -> Option<Duration> {
        let takes = Duration::from_millis(self.takes_ms);
        (takes <= timeout).then_some(takes)
    }

    fn after(&self) -> Option<Duration> {
        self.after_ms.map(Duration::from_millis)
    }

    fn failure(&self) -> Failure {
        Failure::new(self.code.as_deref().unwrap_or("mocked"), "the mock run's script says so")
    }

    /// As an action's answer at `now`.
    pub(super) fn answer(&self, now: Moment, sample: impl Fn() -> Value) -> Answer<Value> {
        match self.answer {
            Kind::Done => Ok(self.output.clone().unwrap_or_else(sample)),
            _ => Err(self.halt(now)),
        }
    }

    /// As a probe's finding at `now`.
    pub(super) fn finding(&self, now: Moment, sample: impl Fn() -> Value) -> Answer<Probed<Value>> {
        match self.answer {
            Kind::Done => Ok(Probed::Executed(self.output.clone().unwrap_or_else(sample))),
            Kind::NotExecuted => Ok(Probed::NotExecuted),
            Kind::Permanent => Ok(Probed::Refused(self.failure())),
            _ => Err(self.halt(now)),
        }
    }

    fn halt(&self, now: Moment) -> Halt {
        match self.answer {
            Kind::Transient => Halt::Transient { failure: self.failure(), after: self.after() },
            Kind::InDoubt => Halt::InDoubt(self.failure()),
            Kind::Parked => {
                Halt::Parked { after: self.after().unwrap_or_default(), reason: "the mock run's script".to_owned() }
            }
            Kind::Wait => Halt::Wait(Wait {
                signal: self.signal.clone(),
                until: self
                    .after_ms
                    .and_then(|ms| now.checked_add_signed(TimeDelta::try_milliseconds(ms.try_into().ok()?)?)),
                reason: self.signal.as_ref().map_or_else(String::new, |signal| format!("the signal `{signal}`")),
                child: None,
            }),
            Kind::Permanent | Kind::Done | Kind::NotExecuted => Halt::Permanent(self.failure()),
        }
    }
}

/// The answers that are still to be given.
pub(super) struct Answers<'a> {
    script: &'a Script,
    given: HashMap<(String, Half), usize>,
}

impl<'a> Answers<'a> {
    pub(super) fn of(script: &'a Script) -> Self {
        Self { script, given: HashMap::new() }
    }

    /// The next one.
    pub(super) fn next(&mut self, step: &str, half: Half) -> MockAnswer {
        let given = self.given.entry((step.to_owned(), half)).or_default();
        let answers = self.script.answers.get(step).map(|answers| answers.of(half)).unwrap_or_default();
        let answer = answers.get(*given).or(answers.last()).cloned().unwrap_or_default();
        *given += 1;
        answer
    }
}
