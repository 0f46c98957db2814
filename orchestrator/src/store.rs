//! What the engine asks of its store. Production has one, [`Postgres`]; the simulator has another, and one suite
//! holds both to the same behaviour. That is the only reason for the trait.
//!
//! Errors are those of sqlx: what matters of one is whether it passes ([`crate::db::trouble`]).

mod append;
mod postgres;
#[cfg(feature = "simulation")]
pub mod simulated;

pub use append::{Append, Row, Schedule};
pub(crate) use postgres::now;
pub use postgres::{Postgres, enqueue_in_tx};

use crate::{
    ids::SagaId,
    journal::{Entry, Moment, Recorded},
    outbox::{Destination, DueMessage, Message, Rest},
    run::Corrupt,
};
use async_trait::async_trait;
use serde_json::Value;
use std::{collections::HashMap, ops::DerefMut, time::Duration};
use uuid::Uuid;

/// A result of the store.
pub type Stored<T> = Result<T, sqlx::Error>;

/// Where sagas live. Clones share it.
#[async_trait]
pub trait Store: Clone + Send + Sync + 'static {
    /// What is done inside a transaction; what local actions are given.
    type Tx: Tx + ?Sized;
    /// An open transaction. Dropped without [`Store::commit`], it is as if it had never been.
    type Open: DerefMut<Target = Self::Tx> + Send;

    /// Opens a transaction.
    async fn begin(&self) -> Stored<Self::Open>;
    /// Makes a transaction durable. After an error that passes, whether it is durable is unknown.
    async fn commit(&self, tx: Self::Open) -> Stored<()>;

    /// Claims up to `limit` sagas that are due and nobody's, those with higher priority first. A journal that others
    /// append to at this very moment may lack its end: every move sees what it missed.
    async fn claim(&self, worker: &str, limit: usize, lease_secs: i32) -> Stored<Taken>;
    /// Extends the leases of what is held, and tells which of them are still ours.
    async fn renew(&self, held: &[(SagaId, i64)], lease_secs: i32) -> Stored<Vec<SagaId>>;
    /// Gives claims back that were not begun: others take them at once.
    async fn hand_back(&self, held: &[(SagaId, i64)]) -> Stored<()>;
    /// Gives claims back that this process does not run now: they are due again after `pause`, for any process, and
    /// do not count towards those whose workers died.
    async fn put_off(&self, claims: &[Claim], pause: Duration) -> Stored<()>;
    /// Gives every saga that nobody owes anything, although it is neither finished nor with a person, a wake-up.
    /// Tells how many there were: more than none is a mistake of ours, mended.
    async fn sweep(&self) -> Stored<u64>;
    /// Whole journals, and the store's time.
    async fn journals(&self, sagas: &[SagaId]) -> Stored<(Journals, Moment)>;

    /// What is stored as a version of a definition.
    async fn definition(&self, name: &str, version: i32) -> Stored<Option<StoredDefinition>>;
    /// The version that new sagas use.
    async fn active_version(&self, name: &str) -> Stored<Option<i32>>;

    /// Takes up to `limit` messages that are due there; while they are being delivered nobody else takes them.
    async fn due_messages(&self, destination: Destination, limit: i64) -> Stored<Vec<DueMessage>>;
    /// Forgets messages that have arrived.
    async fn delivered(&self, messages: &[Uuid]) -> Stored<()>;
    /// Has a message delivered again later, or kept for a person.
    async fn postpone(&self, message: &DueMessage, rest: Rest, error: &str) -> Stored<()>;

    /// Tells other processes that there is work to be claimed. A hint: it may be lost or come twice.
    async fn announce(&self) -> Stored<()>;
    /// Calls `hint` for every announcement of another process, until listening is interrupted.
    async fn listen(&self, hint: &(dyn Fn() + Send + Sync)) -> Stored<()>;
}

/// What is done inside a transaction.
#[async_trait]
pub trait Tx: Send {
    /// The store's time.
    async fn now(&mut self) -> Stored<Moment>;

    /// Locks the wake-ups of sagas, in one order, and tells whose claims they are.
    async fn lock_claims(&mut self, sagas: &[SagaId]) -> Stored<HashMap<SagaId, Option<i64>>>;
    /// Locks one saga with its wake-up, in the order in which [`Tx::lock_claims`] does.
    async fn lock_saga(&mut self, saga: SagaId) -> Stored<()>;
    /// What has been appended to each saga behind the `seq` that is given for it, where anything was, and the store's
    /// time.
    async fn news(&mut self, seen: &[(SagaId, i64)]) -> Stored<(Journals, Moment)>;
    /// What each saga's journal has behind the `seq` that is given for it.
    async fn journals_after(&mut self, after: &[(SagaId, i64)]) -> Stored<Journals>;
    /// Writes moves of sagas that exist. The caller has locked them and knows that no `seq` is taken.
    async fn append(&mut self, appends: &[Append], lease_secs: i32) -> Stored<()>;

    /// Takes start keys that are free, and tells who holds each: none where it has just expired. And the store's time.
    async fn take_keys(&mut self, keys: &[StartKey]) -> Stored<(Vec<Option<KeyHolder>>, Moment)>;
    /// Creates the journals, projections and wake-ups of new sagas, each with its priority. Their keys were taken in
    /// this transaction, so that nobody else creates them.
    async fn create(&mut self, appends: &[Append], priorities: &[i16]) -> Stored<()>;

    /// Has `parent` told of the end of `child`, unless that has come already: then it answers true.
    async fn wait_for_end(&mut self, child: SagaId, parent: SagaId, key: &str) -> Stored<bool>;
    /// Forgets and tells who waits for the ends of these.
    async fn take_waiters(&mut self, ended: &[SagaId]) -> Stored<Vec<Waiter>>;
    /// Writes messages.
    async fn enqueue(&mut self, messages: &[Message]) -> Stored<()>;

    /// The `seq` that the same act, by the same person on the same knowledge, has come to before.
    async fn act_done(&mut self, act: &ActRow<'_>) -> Stored<Option<i64>>;
    /// Adds to the append-only record of what people did and were refused, each with its detail.
    async fn record_acts(&mut self, acts: &[(ActRow<'_>, Value)], outcome: &str) -> Stored<()>;

    /// Begins what can be undone by itself.
    async fn save(&mut self) -> Stored<()>;
    /// Keeps what was done since [`Tx::save`].
    async fn keep(&mut self) -> Stored<()>;
    /// Undoes what was done since [`Tx::save`].
    async fn undo(&mut self) -> Stored<()>;
}

/// A saga that is ours until the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The saga.
    pub saga_id: SagaId,
    /// The fence: every claim has another one.
    pub token: i64,
    /// Claims since the journal last grew, this one included.
    pub claims: i32,
}

/// What a worker has claimed.
#[derive(Debug)]
pub struct Taken {
    /// The claims.
    pub claims: Vec<Claim>,
    /// The whole journals of these sagas.
    pub journals: Journals,
    /// The store's time.
    pub now: Moment,
}

/// The entries of one saga with the moves that wrote them.
pub type Written = (Recorded, Uuid);

/// The entries of several sagas; of each, why they do not read if they do not.
pub type Journals = HashMap<SagaId, Result<Vec<Written>, ReadError>>;

/// A definition as it is stored.
#[derive(Debug, Clone)]
pub struct StoredDefinition {
    /// What it says.
    pub document: Value,
    /// What a person wrote.
    pub source: String,
    /// The document's digest.
    pub digest: String,
    /// When it came here.
    pub created_at: Moment,
    /// Who or what brought it.
    pub created_by: String,
}

/// A key under which a saga is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartKey {
    /// Whose key it is.
    pub owner: String,
    /// The key.
    pub key: String,
    /// The saga, if the key is free.
    pub saga_id: SagaId,
    /// Of what is started.
    pub digest: String,
}

/// Who holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The saga that it stands for.
    pub saga_id: SagaId,
    /// Of what was started with it.
    pub digest: String,
    /// It has taken the key with this very call.
    pub is_new: bool,
}

/// A saga that waits for another one's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// The one that ends.
    pub child: SagaId,
    /// The one that waits.
    pub parent: SagaId,
    /// The key under which it had the other one started.
    pub key: String,
}

/// A person's act, for the record.
#[derive(Debug, Clone, Copy)]
pub struct ActRow<'a> {
    /// Who.
    pub actor: &'a str,
    /// What.
    pub act: &'a str,
    /// On which saga.
    pub saga_id: SagaId,
    /// The last entry that the person saw.
    pub seq: i64,
    /// Of everything else that was asked for.
    pub digest: &'a str,
    /// Why, in the person's words.
    pub reason: &'a str,
    /// From where.
    pub address: Option<&'a str>,
}

/// A journal that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database's.
    #[error("could not read the journal")]
    Database(#[from] sqlx::Error),
    /// An entry is not one of ours.
    #[error("engine.journal {saga_id} seq {seq}: column entry does not read")]
    Entry {
        /// The saga.
        saga_id: SagaId,
        /// The entry.
        seq: i64,
        /// Why.
        source: serde_json::Error,
    },
    /// The entries do not fit together.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Sorts rows of a journal to their sagas, which are all in `journals` already.
pub(crate) fn collect(journals: &mut Journals, saga_id: SagaId, seq: i64, at: Moment, entry: Value, move_id: Uuid) {
    let Some(journal) = journals.get_mut(&saga_id) else { return };
    match serde_json::from_value::<Entry>(entry) {
        Ok(entry) => {
            if let Ok(entries) = journal {
                entries.push((Recorded { seq, at, entry }, move_id));
            }
        }
        Err(source) => *journal = Err(ReadError::Entry { saga_id, seq, source }),
    }
}

/// One whole journal.
pub(crate) async fn journal<T: Tx + ?Sized>(tx: &mut T, saga_id: SagaId) -> Result<Vec<Recorded>, ReadError> {
    journal_after(tx, saga_id, 0).await
}

/// What one journal has behind `seq`.
pub(crate) async fn journal_after<T: Tx + ?Sized>(
    tx: &mut T,
    saga_id: SagaId,
    seq: i64,
) -> Result<Vec<Recorded>, ReadError> {
    let mut journals = tx.journals_after(&[(saga_id, seq)]).await?;
    let written = journals.remove(&saga_id).unwrap_or_else(|| Ok(Vec::new()))?;
    Ok(written.into_iter().map(|(recorded, _)| recorded).collect())
}
