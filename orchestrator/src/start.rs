//! Starting sagas: idempotent by key, in the caller's transaction or through group commit.

use crate::{
    canonical,
    catalog::{InputMistake, Known},
    group_commit::{CommitError, Work},
    ids::SagaId,
    journal::{Entry, Moment},
    store::{self, Append},
};
use async_trait::async_trait;
use chrono::Duration;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

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
            start,
        })
    }
}

/// Starts all of `prepared` in the caller's transaction, answering each in order.
///
/// # Errors
/// The database's.
pub async fn start_many_in_tx(tx: &mut PgConnection, prepared: &[&Prepared]) -> Result<Vec<Started>, sqlx::Error> {
    let now = store::now(tx).await?;
    let taken = take_keys(tx, prepared).await?;
    let mut answers = Vec::with_capacity(prepared.len());
    let mut fresh = Vec::new();
    for one in prepared {
        let Some((saga_id, digest)) = taken.get(&(one.start.owner.as_str(), one.start.key.as_str())) else {
            // it expired between the two statements: the same again finds it free
            return Err(sqlx::Error::Protocol("a start's key has just expired".into()));
        };
        answers.push(if *saga_id == one.saga_id {
            fresh.push(*one);
            Started::New(*saga_id)
        } else if *digest == one.digest {
            Started::Known(*saga_id)
        } else {
            Started::Conflict(*saga_id)
        });
    }
    let appends: Vec<_> = fresh.iter().map(|one| one.first_move(now)).collect();
    let priorities: Vec<_> = fresh.iter().map(|one| one.start.priority).collect();
    store::create(tx, &appends, &priorities).await?;
    Ok(answers)
}

/// Starts one in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn start_in_tx(tx: &mut PgConnection, prepared: &Prepared) -> Result<Started, sqlx::Error> {
    Ok(start_many_in_tx(tx, &[prepared]).await?[0])
}

/// Who holds each key now, ours included.
async fn take_keys<'a>(
    tx: &mut PgConnection,
    prepared: &[&'a Prepared],
) -> Result<HashMap<(&'a str, &'a str), (SagaId, String)>, sqlx::Error> {
    // in key order, so that two batches cannot wait for each other
    let mut ordered = prepared.to_vec();
    ordered.sort_by_key(|one| (&one.start.owner, &one.start.key));
    let owners: Vec<_> = ordered.iter().map(|one| one.start.owner.clone()).collect();
    let keys: Vec<_> = ordered.iter().map(|one| one.start.key.clone()).collect();
    let saga_ids: Vec<_> = ordered.iter().map(|one| one.saga_id.0).collect();
    let digests: Vec<_> = ordered.iter().map(|one| one.digest.clone()).collect();
    sqlx::query!(
        "insert into engine.start_keys (owner, key, saga_id, digest)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::text[])
         on conflict (owner, key) do nothing",
        &owners,
        &keys,
        &saga_ids,
        &digests
    )
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query!(
        "select k.owner, k.key, k.saga_id, k.digest
         from unnest($1::text[], $2::text[]) as asked (owner, key)
         join engine.start_keys k on k.owner = asked.owner and k.key = asked.key",
        &owners,
        &keys
    )
    .fetch_all(tx)
    .await?;
    let mut holders: HashMap<_, _> =
        rows.into_iter().map(|row| ((row.owner, row.key), (SagaId(row.saga_id), row.digest))).collect();
    Ok(prepared
        .iter()
        .filter_map(|one| {
            let (owner, key) = (one.start.owner.as_str(), one.start.key.as_str());
            holders.remove(&(owner.to_owned(), key.to_owned())).map(|holder| ((owner, key), holder))
        })
        .collect())
}

impl Prepared {
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
            },
        )
    }
}

/// Starts as group commit's work.
pub(crate) struct Starts {
    pub(crate) committed: Arc<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl Work for Starts {
    type Item = Prepared;
    type Answer = Started;

    async fn apply(&self, tx: &mut PgConnection, items: &[Arc<Prepared>]) -> Result<Vec<Started>, sqlx::Error> {
        let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
        start_many_in_tx(tx, &items).await
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
