//! Definitions: what a saga does, as data. `docs/definitions.md` describes the YAML.

mod differences;
mod inputs;
pub mod mapping;
#[cfg(test)]
mod mistakes;
mod parse;
mod paths;
mod schema;
mod tree;
mod units;
mod validate;

pub use differences::{Difference, differences};
pub use schema::InputMistake;
pub(crate) use schema::{compile, input_mistakes};

use crate::{
    action::{Lane, Registry},
    canonical,
    store::Store,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, in a sentence for people.
    pub message: String,
}

/// A validated definition, as it is stored and run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// Its name.
    pub saga: String,
    /// JSON Schema that a saga's input must satisfy.
    pub input: Value,
    /// How long a saga may take until its pivot is done; after that it is compensated.
    #[serde(default, with = "duration_ms::option", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Its name, unique in the definition.
    pub step: String,
    /// The registered action that it runs.
    pub action: String,
    /// What the action gets: names to literals or to paths (texts that begin with `$.`) into
    /// `{input, steps}`. Without it, the saga's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<BTreeMap<String, Value>>,
    /// What takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// The registered probe that asks what became of a call in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// After this step the saga only goes forward.
    #[serde(default)]
    pub pivot: bool,
    /// Of one attempt.
    #[serde(with = "duration_ms")]
    pub timeout: Duration,
    /// What follows a transient failure.
    pub retry: Retry,
}

/// What takes a step back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compensation {
    /// The registered action.
    pub action: String,
    /// Of one attempt.
    #[serde(with = "duration_ms")]
    pub timeout: Duration,
    /// What follows a transient failure.
    pub retry: Retry,
}

/// How often, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// How many attempts in all.
    pub attempts: Attempts,
    /// The longest wait after the first failure; it doubles with each.
    #[serde(with = "duration_ms")]
    pub backoff_first: Duration,
    /// The longest wait of all.
    #[serde(with = "duration_ms")]
    pub backoff_max: Duration,
}

/// A number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attempts {
    /// This many, the first included.
    Limited(NonZeroU32),
    /// Until it is done.
    Forever,
}

impl Step {
    /// What one half runs.
    #[must_use]
    pub fn action_of(&self, lane: Lane) -> &str {
        match (lane, &self.compensation) {
            (Lane::Compensation, Some(compensation)) => &compensation.action,
            _ => &self.action,
        }
    }

    /// The policy of one half.
    #[must_use]
    pub fn retry_of(&self, lane: Lane) -> Retry {
        match (lane, &self.compensation) {
            (Lane::Compensation, Some(compensation)) => compensation.retry,
            _ => self.retry,
        }
    }
}

impl Retry {
    /// Whether another attempt is allowed after `made` of them.
    #[must_use]
    pub fn allows(&self, made: u32) -> bool {
        match self.attempts {
            Attempts::Limited(limit) => made < limit.get(),
            Attempts::Forever => true,
        }
    }

    /// How many more attempts are allowed after `made` of them; none: any number.
    #[must_use]
    pub fn left(&self, made: u32) -> Option<u32> {
        match self.attempts {
            Attempts::Limited(limit) => Some(limit.get().saturating_sub(made)),
            Attempts::Forever => None,
        }
    }

    /// The longest wait after the attempt with this number (from 1); the wait itself is drawn evenly from
    /// zero to this (full jitter: the AWS architecture blog's "Exponential Backoff And Jitter").
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(32);
        self.backoff_first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.backoff_max)
    }
}

impl Definition {
    /// Reads and validates a document against what is registered.
    ///
    /// # Errors
    /// Every [`Mistake`] that can be found, in the order of the lines.
    pub fn read<S: Store>(yaml: &str, registry: &Registry<S>) -> Result<Self, Vec<Mistake>> {
        let tree = tree::read(yaml).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        tree.check(&mut mistakes);
        let draft = parse::draft(&tree, &mut mistakes);
        validate::check(&draft, registry, &mut mistakes);
        mistakes.sort();
        mistakes.dedup();
        match draft.finish() {
            Some(definition) if mistakes.is_empty() => Ok(definition),
            _ => Err(mistakes),
        }
    }

    /// The SHA-256 of what it says, in hexadecimal: the same for documents that differ in their looks alone.
    ///
    /// # Errors
    /// None in practice: a definition is always JSON.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        Ok(canonical::digest(&serde_json::to_value(self)?))
    }

    /// The index of the step with this name.
    #[must_use]
    pub fn position(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|candidate| candidate.step == step)
    }

    /// The index of the pivot.
    #[must_use]
    pub fn pivot(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.pivot)
    }
}

/// Durations as whole milliseconds in the stored document.
mod duration_ms {
    use serde::{Deserialize, Deserializer, Serializer, ser::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).map_err(S::Error::custom)?)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    pub(super) mod option {
        use super::Duration;
        use serde::{Deserialize, Deserializer, Serializer};

        pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            match value {
                Some(duration) => super::serialize(duration, serializer),
                None => serializer.serialize_none(),
            }
        }
        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
        }
    }
}
