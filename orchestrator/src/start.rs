//! Starting sagas: idempotent by key, in the caller's transaction or through group commit.

use crate::{
    canonical,
    catalog::{InputMistake, Known},
    group_commit::{CommitError, Work},
    ids::SagaId,
    journal::{Entry, Moment},
    store::{ActRow, Append, StartKey, Store, Tx},
};
use async_trait::async_trait;
use chrono::Duration;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// A saga to be started.
#[derive(Debug, Clone)]
pub struct Start {
    /// What it runs.
    pub definition: String,
    /// At which version; without one, at the active version.
    pub version: Option<i32>,
    /// Its input.
    pub input: Value,
    /// Whose key it is: a user, a program, a saga.
    pub owner: String,
    /// The key: the same key and body again find the first saga.
    pub key: String,
    /// What lists filter by.
    pub tags: BTreeMap<String, String>,
    /// Nothing runs before; without it, now.
    pub starts_at: Option<Moment>,
    /// Higher ones are claimed first.
    pub priority: i16,
    /// The saga that starts it.
    pub parent: Option<SagaId>,
    /// Who starts it, for the journal.
    pub by: String,
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It is started.
    New(SagaId),
    /// The same start was made before: this saga.
    Known(SagaId),
    /// The key was used for something else: this saga.
    Conflict(SagaId),
}

impl Started {
    /// The saga that the key stands for.
    #[must_use]
    pub fn saga_id(self) -> SagaId {
        match self {
            Self::New(saga_id) | Self::Known(saga_id) | Self::Conflict(saga_id) => saga_id,
        }
    }
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such definition, or not that version of it.
    #[error("there is no definition `{name}`{}", version.map(|v| format!(" with version {v}")).unwrap_or_default())]
    UnknownDefinition {
        /// The name.
        name: String,
        /// The version that was asked for.
        version: Option<i32>,
    },
    /// The input does not satisfy the definition's schema.
    #[error("the input does not satisfy the schema of the definition")]
    InvalidInput(Vec<InputMistake>),
    /// The database could not be asked.
    #[error("could not read the definition")]
    Database(#[from] sqlx::Error),
    /// The start was not committed.
    #[error("could not commit the start")]
    Commit(#[from] CommitError),
}

/// A start whose definition is resolved and whose input is checked. Made by [`Prepared::new`] outside of any
/// transaction, so that none waits for another connection.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The id it will have if the key is new.
    pub saga_id: SagaId,
    start: Start,
    version: i32,
    deadline: Option<std::time::Duration>,
    first_step: Option<String>,
    digest: String,
    /// The trace that it is part of.
    trace: Option<String>,
    /// Whoever asks for it, for the record of acts; what starts by itself is in the journal alone.
    asked: Option<Asked>,
}

/// From where a start was asked for.
#[derive(Debug, Clone)]
struct Asked {
    address: Option<String>,
}

impl Prepared {
    /// Checks `start` against the definition it names.
    ///
    /// # Errors
    /// [`StartError::InvalidInput`] with every mistake.
    pub fn new(saga_id: SagaId, start: Start, known: &Known) -> Result<Self, StartError> {
        let mistakes = known.check_input(&start.input);
        if !mistakes.is_empty() {
            return Err(StartError::InvalidInput(mistakes));
        }
        let body = json!({
            "definition": start.definition, "version": start.version, "input": start.input, "tags": start.tags,
            "startsAt": start.starts_at, "priority": start.priority,
        });
        Ok(Self {
            saga_id,
            version: known.version,
            deadline: known.definition.deadline,
            first_step: known.definition.steps.first().map(|step| step.step.clone()),
            digest: canonical::digest(&body),
            trace: None,
            asked: None,
            start,
        })
    }
}

/// Starts all of `prepared` in the caller's transaction, answering each in order.
///
/// # Errors
/// The database's.
pub async fn start_many_in_tx(tx: &mut PgConnection, prepared: &[&Prepared]) -> Result<Vec<Started>, sqlx::Error> {
    start_many(tx, prepared).await
}

/// Starts one in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn start_in_tx(tx: &mut PgConnection, prepared: &Prepared) -> Result<Started, sqlx::Error> {
    start(tx, prepared).await
}

/// The saga that was started with a key, for as long as the key lives.
///
/// # Errors
/// The database's.
pub async fn started_with(
    executor: impl sqlx::PgExecutor<'_>,
    owner: &str,
    key: &str,
) -> Result<Option<SagaId>, sqlx::Error> {
    let saga = sqlx::query_scalar!("select saga_id from engine.start_keys where owner = $1 and key = $2", owner, key)
        .fetch_optional(executor)
        .await?;
    Ok(saga.map(SagaId))
}

/// As [`start_in_tx`], in any store.
pub(crate) async fn start<T: Tx + ?Sized>(tx: &mut T, prepared: &Prepared) -> Result<Started, sqlx::Error> {
    Ok(start_many(tx, &[prepared]).await?[0])
}

async fn start_many<T: Tx + ?Sized>(tx: &mut T, prepared: &[&Prepared]) -> Result<Vec<Started>, sqlx::Error> {
    let keys: Vec<_> = prepared.iter().map(|one| one.key()).collect();
    let (holders, now) = tx.take_keys(&keys).await?;
    let mut answers = Vec::with_capacity(prepared.len());
    let mut fresh = Vec::new();
    for (one, holder) in prepared.iter().zip(holders) {
        // expired between two statements: the same again finds the key free
        let holder = holder.ok_or_else(|| sqlx::Error::Protocol("a start's key has just expired".into()))?;
        if holder.is_new && holder.saga_id == one.saga_id {
            fresh.push(*one);
        }
        answers.push(if holder.saga_id == one.saga_id {
            // also where it was there: the answer to its COMMIT was lost
            Started::New(holder.saga_id)
        } else if holder.digest == one.digest {
            Started::Known(holder.saga_id)
        } else {
            Started::Conflict(holder.saga_id)
        });
    }
    let appends: Vec<_> = fresh.iter().map(|one| one.first_move(now)).collect();
    let priorities: Vec<_> = fresh.iter().map(|one| one.start.priority).collect();
    tx.create(&appends, &priorities).await?;
    let acts: Vec<_> = fresh.iter().filter_map(|one| one.act()).collect();
    tx.record_acts(&acts, "done").await?;
    Ok(answers)
}

impl Prepared {
    /// It is part of this trace.
    #[must_use]
    pub fn traced(self, trace: Option<String>) -> Self {
        Self { trace, ..self }
    }

    /// It is asked for by a person or a program, and stands in the record of what they do.
    #[must_use]
    pub fn asked_from(self, address: Option<IpAddr>) -> Self {
        Self { asked: Some(Asked { address: address.map(|address| address.to_string()) }), ..self }
    }

    /// Of one that is asked for, what the record says.
    fn act(&self) -> Option<(ActRow<'_>, Value)> {
        let asked = self.asked.as_ref()?;
        let row = ActRow {
            actor: &self.start.by,
            act: "start",
            saga_id: self.saga_id,
            seq: 0,
            digest: &self.digest,
            reason: "",
            address: asked.address.as_deref(),
        };
        Some((row, json!({ "seq": 1, "definition": self.start.definition, "version": self.version })))
    }

    fn key(&self) -> StartKey {
        StartKey {
            owner: self.start.owner.clone(),
            key: self.start.key.clone(),
            saga_id: self.saga_id,
            digest: self.digest.clone(),
        }
    }

    fn first_move(&self, now: Moment) -> Append {
        let starts_at = self.start.starts_at.unwrap_or(now).max(now);
        let deadline_at = self.deadline.and_then(|deadline| Some(starts_at + Duration::from_std(deadline).ok()?));
        Append::start(
            self.saga_id,
            now,
            self.first_step.clone(),
            Entry::Started {
                definition: self.start.definition.clone(),
                version: self.version,
                input: self.start.input.clone(),
                tags: self.start.tags.clone(),
                starts_at,
                deadline_at,
                parent: self.start.parent,
                by: self.start.by.clone(),
                trace: self.trace.clone(),
            },
        )
    }
}

/// Starts as group commit's work.
pub(crate) struct Starts {
    pub(crate) committed: Arc<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl<S: Store> Work<S> for Starts {
    const NAME: &'static str = "starts";
    type Item = Prepared;
    type Answer = Started;

    async fn apply(&self, tx: &mut S::Tx, items: &[Arc<Prepared>]) -> Result<Vec<Started>, sqlx::Error> {
        let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
        start_many(tx, &items).await
    }

    fn committed(&self) {
        (self.committed)();
    }
}

/// Forgets keys that are older than `age`, a batch at a time.
///
/// # Errors
/// The database's.
pub async fn expire_keys(pool: &sqlx::PgPool, age: std::time::Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let seconds = i32::try_from(age.as_secs()).unwrap_or(i32::MAX);
    let done = sqlx::query!(
        "delete from engine.start_keys where (owner, key) in (
             select owner, key from engine.start_keys
             where created_at < now() - make_interval(secs => $1::int4)
             order by created_at limit $2)",
        seconds,
        limit
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
