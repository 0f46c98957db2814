//! Actions: what a step does. Two kinds, because they fail differently.
//!
//! An [`ExternalAction`] talks to somebody else. The engine commits its intent before it runs, it may run
//! more than once, and a lost answer is doubt. A [`LocalAction`] only touches our database: it runs inside the
//! transaction of its own move, so that its effect and the journal's entry are one commit, exactly once.
//! A [`Probe`] asks the other side what became of a call.
//!
//! A compensation is an action like any other; what it needs to know of the step that it takes back is in its
//! [`Call`].

mod registry;

pub use registry::{AnyExternal, AnyLocal, AnyProbe, Erased, Registered, Registry, RegistryError};

use crate::{
    ids::SagaId,
    store::{Postgres, Store},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Duration;

/// Which half of a step: the action, or the compensation that takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Lane {
    /// The action.
    Forward,
    /// The compensation.
    Compensation,
}

impl Lane {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Compensation => "compensation",
        }
    }
}

/// Why something could not be done, in a form for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A stable word for programs and for grouping: `card-declined`, `hold-lost`, `timeout`.
    pub code: String,
    /// One sentence for people. No secrets, no personal data: it is stored and shown.
    pub message: String,
}

impl Failure {
    /// A failure with its code and its sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Another saga that a step starts (by key, so that it is started once) and whose end it waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// The definition to run, at its active version.
    pub definition: String,
    /// The key under which it is started; a second start with the same key finds the first.
    pub key: String,
    /// Its input.
    pub input: Value,
    /// Tags that lists filter by.
    #[serde(default)]
    pub tags: std::collections::BTreeMap<String, String>,
}

/// What a step waits for. When it comes, the action runs again and finds it in its [`Call`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// A signal with this name, received at any time since the saga began and not taken yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// A time; with a signal, whichever comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Another saga's end. It arrives as the signal [`Wait::child_signal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<Child>,
    /// Who or what is waited for, in words: "the buyer's bank".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Wait {
    /// The name of the signal by which the end of the saga with this key is told.
    #[must_use]
    pub fn child_signal(key: &str) -> String {
        format!("saga-ended:{key}")
    }

    /// The signal that ends this wait, if one does.
    #[must_use]
    pub fn signal_name(&self) -> Option<String> {
        self.signal.clone().or_else(|| self.child.as_ref().map(|child| Self::child_signal(&child.key)))
    }
}

/// Everything that an action may answer other than its output: the consequence, not the cause.
#[derive(Debug, Clone, PartialEq)]
pub enum Halt {
    /// Certainly not done; again, by the step's policy, and not before `after` where given.
    Transient {
        /// Why.
        failure: Failure,
        /// The other side asked for this much patience.
        after: Option<Duration>,
    },
    /// Certainly not done, and trying again cannot help: compensate, or stop for a person past the pivot.
    Permanent(Failure),
    /// We cannot know whether it was done: probe before anything else.
    InDoubt(Failure),
    /// Nothing to do until a signal or a time comes.
    Wait(Wait),
    /// What it needs is known to be away (an open breaker): again after `after`, no attempt used up.
    Parked {
        /// How long.
        after: Duration,
        /// Behind what.
        reason: String,
    },
    /// The claim is no longer ours, or the saga has moved so that this call must not be made: write nothing,
    /// call nobody. Answered by the engine; an action passes it on.
    Superseded,
}

impl Halt {
    /// [`Halt::Transient`] without a wish for patience.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Transient { failure: Failure::new(code, message), after: None }
    }
    /// [`Halt::Permanent`].
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Permanent(Failure::new(code, message))
    }
    /// [`Halt::InDoubt`].
    pub fn in_doubt(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InDoubt(Failure::new(code, message))
    }
}

/// A database error inside a local action: its transaction is rolled back, so nothing happened.
impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::transient("database", error.to_string())
    }
}

/// An action's answer.
pub type Answer<T> = Result<T, Halt>;

/// A signal that a saga has received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Where it stands in the journal.
    pub seq: i64,
    /// Its name.
    pub name: String,
    /// What came with it.
    pub payload: Value,
}

/// What an action knows of the call it is to make.
#[derive(Debug, Clone)]
pub struct Call {
    /// The saga.
    pub saga_id: SagaId,
    /// The saga whose keys its calls carry: itself, or the first of its line of forks.
    pub keys_of: SagaId,
    /// Its definition's name.
    pub definition: String,
    /// Its tags.
    pub tags: std::collections::BTreeMap<String, String>,
    /// The saga's own input.
    pub saga_input: Value,
    /// The step.
    pub step: String,
    /// Action or compensation.
    pub lane: Lane,
    /// Which attempt of this lane, from 1. Never part of an idempotency key.
    pub attempt: u32,
    /// The database's time when the call begins.
    pub now: DateTime<Utc>,
    /// When the saga's deadline is, if it has one.
    pub deadline: Option<DateTime<Utc>>,
    /// What this step's attempts have intended and noted so far, oldest first, both lanes' action first:
    /// a compensation sees what the action intended.
    pub notes: Vec<Value>,
    /// The action's output, when this is a compensation and the action has answered.
    pub output: Option<Value>,
    /// Why the saga compensates, when it does.
    pub cause: Option<Failure>,
    /// Why this half of the step failed or was in doubt before, if it was.
    pub failure: Option<Failure>,
    /// How many more failures its policy allows; none: any number.
    pub attempts_left: Option<u32>,
    /// The signal that ended this step's wait, if that is why it runs.
    pub signal: Option<Signal>,
    /// The signals that nothing has taken yet, oldest first.
    pub signals: Vec<Signal>,
    /// True when the time that this step waited for has come without the signal.
    pub wait_elapsed: bool,
}

impl Call {
    /// The key by which the other side recognises this call, whatever the attempt: saga and step (and lane).
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        match self.lane {
            Lane::Forward => format!("{}:{}", self.keys_of, self.step),
            Lane::Compensation => format!("{}:{}:compensation", self.keys_of, self.step),
        }
    }

    /// What has been told by signals with this name, oldest first: those that wait to be taken, and the one that ended
    /// this step's wait.
    pub fn told<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Signal> {
        let mut told: Vec<_> = self.signal.iter().chain(&self.signals).filter(|signal| signal.name == name).collect();
        told.sort_by_key(|signal| signal.seq);
        told.into_iter()
    }

    /// The notes that read as `T`, oldest first; others are passed over.
    pub fn notes_as<T: DeserializeOwned>(&self) -> impl Iterator<Item = T> + '_ {
        self.notes.iter().filter_map(|note| T::deserialize(note).ok())
    }
}

/// Appends notes to the journal in the middle of an external call, fenced by the claim.
#[async_trait]
pub trait Notebook: Send + Sync {
    /// Commits `note` as an entry of this call.
    ///
    /// # Errors
    /// [`Halt::Superseded`]: the claim is lost or the saga has been cancelled; make no further call.
    async fn note(&self, note: Value) -> Result<(), Halt>;

    /// The same for a note that rests on nothing having been told: not when a signal has come since the call was
    /// planned, which the call has not seen. Then the step is planned again, and sees it.
    ///
    /// # Errors
    /// As [`Notebook::note`].
    async fn note_unless_told(&self, note: Value) -> Result<(), Halt>;

    /// As [`Notebook::note_unless_told`], and in the same transaction `child` is started by its key (once), to go its
    /// own way: this saga does not wait for it.
    ///
    /// # Errors
    /// As [`Notebook::note`]; [`Halt::Permanent`] for a child that cannot be started.
    async fn note_and_start(&self, note: Value, child: Child) -> Result<(), Halt>;
}

/// An action that talks to somebody else.
#[async_trait]
pub trait ExternalAction: Send + Sync + 'static {
    /// The name that definitions use.
    const NAME: &'static str;
    /// Moves money: a definition must give such a step a probe.
    const MONEY: bool = false;
    /// What it needs.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// What it gives.
    type Output: Serialize + JsonSchema + Send;

    /// What is about to be done (gateway, key, amount); committed before [`ExternalAction::run`].
    ///
    /// # Errors
    /// A [`Halt`] ends the attempt before it begins.
    async fn intent(&self, _call: &Call, _input: &Self::Input) -> Answer<Value> {
        Ok(Value::Null)
    }

    /// Does it. `intent` is what was committed. May be run again for the same saga and step.
    ///
    /// # Errors
    /// See [`Halt`].
    async fn run(
        &self,
        call: &Call,
        notebook: &dyn Notebook,
        intent: &Value,
        input: Self::Input,
    ) -> Answer<Self::Output>;
}

/// An action that only touches our database.
#[async_trait]
pub trait LocalAction<S: Store = Postgres>: Send + Sync + 'static {
    /// The name that definitions use.
    const NAME: &'static str;
    /// What it needs.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// What it gives.
    type Output: Serialize + JsonSchema + Send;

    /// Does it, inside the transaction of the move. When it answers a [`Halt`], what it wrote is rolled back.
    ///
    /// Local steps that follow each other may share a transaction: it sees what those before it wrote, but what the
    /// [`crate::projection`] writes as it was before the first of them.
    ///
    /// # Errors
    /// See [`Halt`]; a database error is [`Halt::Transient`].
    async fn run(&self, tx: &mut S::Tx, call: &Call, input: Self::Input) -> Answer<Self::Output>;

    /// Whether [`LocalAction::run_set`] may be used.
    const SET_BASED: bool = false;

    /// Does it for many sagas at once, and answers each in order. For a call that it answers with a [`Halt`] it must
    /// have written nothing. The default does one after another, which is right where nothing is written before a
    /// halt is known.
    ///
    /// # Errors
    /// Any error undoes all of it; then each is run by itself.
    async fn run_set(
        &self,
        tx: &mut S::Tx,
        calls: Vec<(&Call, Self::Input)>,
    ) -> Result<Vec<Answer<Self::Output>>, sqlx::Error> {
        let mut answers = Vec::with_capacity(calls.len());
        for (call, input) in calls {
            answers.push(self.run(tx, call, input).await);
        }
        Ok(answers)
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub enum Probed<T> {
    /// It was done, with this output.
    Executed(T),
    /// It was certainly not done; the same call may be made again.
    NotExecuted,
    /// It was certainly not done and cannot be: as [`Halt::Permanent`].
    Refused(Failure),
}

/// Asks the other side what became of a call that is in doubt.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The name that definitions use.
    const NAME: &'static str;
    /// The input of the action that it probes for.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// The output of the action that it probes for.
    type Output: Serialize + JsonSchema + Send;

    /// Asks. `call.notes` hold what was intended and noted.
    ///
    /// # Errors
    /// [`Halt::InDoubt`] and [`Halt::Transient`] keep the doubt, to ask again; [`Halt::Wait`] waits.
    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: Self::Input) -> Answer<Probed<Self::Output>>;
}
