//! The definitions that the database knows. Nothing runs that is only in a file: a document becomes a version
//! here, and new sagas use the active one. Versions never change, so that what was read once stays true.

mod versions;

pub use crate::definition::{InputMistake, Mistake};
pub use versions::{ActiveVersion, Author, Listed, Version, activate_in_tx, active_in_tx};

use crate::{
    action::Registry,
    definition::{Definition, compile as compile_schema, input_mistakes},
    store::{Postgres, Store},
};
use chrono::{DateTime, Utc};
use jsonschema::Validator;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::Instant;

/// How long another process's activation may go unseen.
const ACTIVE_FOR_MAX: Duration = Duration::from_secs(1);
/// How many versions are kept in memory before all are read again.
const KNOWN_MAX: usize = 1_024;

/// A version of a definition, ready to use.
#[derive(Debug)]
pub struct Known {
    /// The definition's name.
    pub name: String,
    /// The version.
    pub version: i32,
    /// See [`Definition::digest`].
    pub digest: String,
    /// What it says.
    pub definition: Definition,
    /// What a person wrote.
    pub source: String,
    /// When it came here.
    pub created_at: DateTime<Utc>,
    /// Who or what brought it.
    pub created_by: String,
    input: Validator,
}

impl Known {
    /// What stands in for a version that the database does not have: it has no steps, so that nothing of it is run.
    pub(crate) fn missing(name: &str, version: i32) -> Self {
        let definition =
            Definition { saga: name.to_owned(), input: Value::Bool(true), deadline: None, steps: Vec::new() };
        Self {
            name: name.to_owned(),
            version,
            digest: String::new(),
            definition,
            source: String::new(),
            created_at: DateTime::UNIX_EPOCH,
            created_by: String::new(),
            input: compile_schema(&Value::Bool(true)).expect("the schema that lets everything pass is one"),
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.definition.steps.is_empty()
    }

    /// Everything that is wrong with an input for a saga of this version.
    #[must_use]
    pub fn check_input(&self, input: &Value) -> Vec<InputMistake> {
        input_mistakes(&self.input, input)
    }
}

/// A stored document that does not read.
#[derive(Debug, thiserror::Error)]
#[error("engine.definitions.document of ({name}, {version}) is not a definition")]
pub struct Unreadable {
    name: String,
    version: i32,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The definition's name.
    pub name: String,
    /// The version that says this.
    pub version: i32,
    /// See [`Definition::digest`].
    pub digest: String,
    /// Whether the version is new.
    pub new: bool,
}

/// Why a document could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It breaks the rules.
    #[error("the definition has {} mistakes; line {}: {}", .0.len(), first(.0).line, first(.0).message)]
    Invalid(Vec<Mistake>),
    /// A document that the binary brought along breaks the rules.
    #[error("`{file}` has {} mistakes; line {}: {}", .mistakes.len(), first(.mistakes).line, first(.mistakes).message)]
    InvalidFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        mistakes: Vec<Mistake>,
    },
    /// The database did not answer as it should.
    #[error("definitions could not be written")]
    Database(#[from] sqlx::Error),
}

fn first(mistakes: &[Mistake]) -> Mistake {
    mistakes.first().cloned().unwrap_or(Mistake { line: 1, message: String::new() })
}

/// Why a version could not be made active.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// There is no such version.
    #[error("`{name}` has no version {version}")]
    Unknown {
        /// The definition.
        name: String,
        /// The version.
        version: i32,
    },
    /// The version names actions that this binary does not have, or breaks its rules in another way.
    #[error("version {version} of `{name}` does not fit what is registered here: {}", first(.mistakes).message)]
    Invalid {
        /// The definition.
        name: String,
        /// The version.
        version: i32,
        /// What is wrong.
        mistakes: Vec<Mistake>,
    },
    /// The database did not answer as it should.
    #[error("the active version could not be written")]
    Database(#[from] sqlx::Error),
}

/// The definitions in the database, with what was read of them kept in memory.
#[derive(Clone)]
pub struct Catalog<S: Store = Postgres>(Arc<Shared<S>>);

struct Shared<S: Store> {
    store: S,
    registry: Arc<Registry<S>>,
    known: RwLock<HashMap<String, HashMap<i32, Arc<Known>>>>,
    active: RwLock<HashMap<String, (Instant, Arc<Known>)>>,
}

impl<S: Store> Catalog<S> {
    /// A catalog on a store that has the schema.
    #[must_use]
    pub fn new(store: S, registry: Arc<Registry<S>>) -> Self {
        Self(Arc::new(Shared { store, registry, known: RwLock::default(), active: RwLock::default() }))
    }

    /// What definitions may name.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry<S>> {
        &self.0.registry
    }

    /// A version.
    ///
    /// # Errors
    /// [`sqlx::Error::Decode`] with [`Unreadable`] when what is stored is not a definition.
    pub async fn get(&self, name: &str, version: i32) -> Result<Option<Arc<Known>>, sqlx::Error> {
        if let Some(known) = self.remembered(name, version) {
            return Ok(Some(known));
        }
        let row = self.0.store.definition(name, version).await?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = |cause| sqlx::Error::Decode(Box::new(Unreadable { name: name.to_owned(), version, cause }));
        let definition =
            serde_json::from_value::<Definition>(row.document).map_err(|cause| unreadable(cause.into()))?;
        let input = compile_schema(&definition.input).map_err(|cause| unreadable(cause.into()))?;
        let known = Arc::new(Known {
            name: name.to_owned(),
            version,
            digest: row.digest,
            definition,
            source: row.source,
            created_at: row.created_at,
            created_by: row.created_by,
            input,
        });
        self.remember(&known);
        Ok(Some(known))
    }

    /// The version that new sagas use. What another process activates is seen within a second.
    ///
    /// # Errors
    /// As [`Catalog::get`].
    pub async fn active(&self, name: &str) -> Result<Option<Arc<Known>>, sqlx::Error> {
        let asked_at = Instant::now();
        if let Some(known) = self.recently_active(name, asked_at) {
            return Ok(Some(known));
        }
        let version = self.0.store.active_version(name).await?;
        let known = match version {
            Some(version) => self.get(name, version).await?,
            None => None,
        };
        let mut active = self.0.active.write().unwrap_or_else(PoisonError::into_inner);
        match &known {
            Some(known) => active.insert(name.to_owned(), (asked_at, Arc::clone(known))),
            None => active.remove(name),
        };
        Ok(known)
    }

    fn recently_active(&self, name: &str, now: Instant) -> Option<Arc<Known>> {
        let active = self.0.active.read().unwrap_or_else(PoisonError::into_inner);
        let (since, known) = active.get(name)?;
        (now.saturating_duration_since(*since) < ACTIVE_FOR_MAX).then(|| Arc::clone(known))
    }

    /// Which version is active is asked for again.
    pub fn forget_active(&self, name: &str) {
        self.0.active.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn remembered(&self, name: &str, version: i32) -> Option<Arc<Known>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name)?.get(&version).cloned()
    }

    fn remember(&self, new: &Arc<Known>) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.values().map(HashMap::len).sum::<usize>() >= KNOWN_MAX {
            known.clear();
        }
        known.entry(new.name.clone()).or_default().insert(new.version, Arc::clone(new));
    }
}
