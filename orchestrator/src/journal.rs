//! What can happen to a saga. The journal is append-only and is the truth; everything else is its fold.

use crate::{
    action::{Failure, Lane, Wait},
    ids::SagaId,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A moment, by the database's clock.
pub type Moment = DateTime<Utc>;

/// An entry where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its place, from 1, without gaps.
    pub seq: i64,
    /// When it was committed.
    pub at: Moment,
    /// What happened.
    pub entry: Entry,
}

/// What a person can do to a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActKind {
    /// What failed or waits is tried again now.
    Retry,
    /// Compensate.
    Cancel,
    /// Stop without compensating.
    Kill,
    /// The other side is asked now what became of a call.
    Probe,
    /// Begin nothing more.
    Pause,
    /// Go on.
    Resume,
    /// Go on without having done the step.
    Skip,
    /// The step was done otherwise.
    Complete,
    /// The step is tried again with another input.
    EditInput,
    /// Another saga goes on from a step.
    Fork,
}

/// What a fork has of a step that was done before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakenOver {
    /// The attempt that did it.
    pub attempt: u32,
    /// What its attempts have intended and noted, oldest first.
    pub notes: Vec<Value>,
    /// What it gave.
    pub output: Value,
    /// What its action took, where a person had given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// Why a saga needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StuckCause {
    /// All attempts are used up.
    Exhausted,
    /// The other side, or our own rules, refuse it for good.
    Refused,
    /// Every worker that took it died before it wrote anything.
    WorkerLost,
    /// Its definition, or an action of it, is not known to this binary.
    DefinitionUnknown,
}

impl StuckCause {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Refused => "refused",
            Self::WorkerLost => "worker-lost",
            Self::DefinitionUnknown => "definition-unknown",
        }
    }
}

/// What happened. `docs/journal.md` says what each means for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Entry {
    /// The saga began.
    Started {
        /// What it runs.
        definition: String,
        /// At which version, for its whole life.
        version: i32,
        /// Its input.
        input: Value,
        /// What lists filter by.
        tags: BTreeMap<String, String>,
        /// Nothing runs before.
        starts_at: Moment,
        /// Until when its pivot must be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline_at: Option<Moment>,
        /// The saga that started it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<SagaId>,
        /// Who started it.
        by: String,
        /// The trace that it is part of, as a W3C `traceparent`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
    },
    /// An external attempt is about to be made.
    Intended {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// The attempt, from 1.
        attempt: u32,
        /// What will be asked of whom.
        intent: Value,
    },
    /// Something learned in the middle of an external attempt that must not be forgotten.
    Noted {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// The attempt.
        attempt: u32,
        /// What.
        note: Value,
    },
    /// It is done.
    Succeeded {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// The attempt.
        attempt: u32,
        /// What it gave.
        output: Value,
        /// Learned by a probe rather than from the call's answer.
        #[serde(default)]
        probed: bool,
    },
    /// It is certainly not done.
    Failed {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// The attempt.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// Another attempt cannot help.
        permanent: bool,
        /// When the next attempt is due; none when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Moment>,
    },
    /// It may have been done or not.
    InDoubt {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// The attempt.
        attempt: u32,
        /// What we know.
        failure: Failure,
        /// When the other side is asked.
        probe_at: Moment,
        /// It could not be asked, because what that needs is known to be away: no attempt is used up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        parked: bool,
    },
    /// It waits for a signal or a time.
    Waits {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// For what.
        wait: Wait,
    },
    /// What it needs is away; no attempt is used up.
    Parked {
        /// The step.
        step: String,
        /// Its half.
        lane: Lane,
        /// Until when.
        until: Moment,
        /// Behind what.
        reason: String,
    },
    /// A signal came.
    Signalled {
        /// Its name.
        name: String,
        /// What came with it.
        payload: Value,
        /// From whom.
        by: String,
    },
    /// A person did something.
    Acted {
        /// What.
        act: ActKind,
        /// Why, in their words.
        reason: String,
        /// Who.
        by: String,
        /// What shows that the step was done otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
    },
    /// Nothing more is begun.
    Paused {
        /// Until when; without it, until a person says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
    },
    /// It goes on.
    Resumed,
    /// What the step's action takes from here on, instead of what the definition says.
    InputGiven {
        /// The step.
        step: String,
        /// What.
        input: Value,
    },
    /// Another saga goes on from a step in its place.
    ForkedInto {
        /// Which.
        saga: SagaId,
        /// The step.
        step: String,
    },
    /// It goes on in the place of another saga, with what that one has done.
    ForkedFrom {
        /// Which.
        saga: SagaId,
        /// The saga whose keys its calls carry: the first of the line.
        keys_of: SagaId,
        /// What it takes over, by step.
        steps: BTreeMap<String, TakenOver>,
    },
    /// From here on it is taken back.
    Compensating {
        /// Why.
        cause: Failure,
    },
    /// It needs a person.
    Stuck {
        /// Where; none when the definition is unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// In which half.
        lane: Lane,
        /// The kind of trouble.
        cause: StuckCause,
        /// The trouble.
        failure: Failure,
    },
    /// All steps are done.
    Completed,
    /// All that was done is taken back.
    Compensated,
    /// A person has stopped it; nothing was taken back.
    Killed,
}

impl Entry {
    /// The tag that the entry is stored with.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Intended { .. } => "intended",
            Self::Noted { .. } => "noted",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::InDoubt { .. } => "inDoubt",
            Self::Waits { .. } => "waits",
            Self::Parked { .. } => "parked",
            Self::Signalled { .. } => "signalled",
            Self::Acted { .. } => "acted",
            Self::Paused { .. } => "paused",
            Self::Resumed => "resumed",
            Self::InputGiven { .. } => "inputGiven",
            Self::ForkedInto { .. } => "forkedInto",
            Self::ForkedFrom { .. } => "forkedFrom",
            Self::Compensating { .. } => "compensating",
            Self::Stuck { .. } => "stuck",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Killed => "killed",
        }
    }

    /// The step it is about, if it is about one.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Intended { step, .. }
            | Self::Noted { step, .. }
            | Self::Succeeded { step, .. }
            | Self::Failed { step, .. }
            | Self::InDoubt { step, .. }
            | Self::Waits { step, .. }
            | Self::Parked { step, .. }
            | Self::InputGiven { step, .. }
            | Self::ForkedInto { step, .. } => Some(step),
            Self::Stuck { step, .. } => step.as_deref(),
            _ => None,
        }
    }

    /// The attempt it is about, if it is about one.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::Intended { attempt, .. }
            | Self::Noted { attempt, .. }
            | Self::Succeeded { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::InDoubt { attempt, .. } => Some(*attempt),
            _ => None,
        }
    }

    /// Who did it, where that was a person or a program from outside.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        match self {
            Self::Started { by, .. } | Self::Signalled { by, .. } | Self::Acted { by, .. } => Some(by),
            _ => None,
        }
    }
}
