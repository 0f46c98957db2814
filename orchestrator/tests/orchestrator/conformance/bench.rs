//! A store to be asked directly, and moves to ask it for.

use crate::ground::{Ground, PATIENCE};
use chrono::TimeDelta;
use orchestrator::{
    SagaId, Store,
    action::{Failure, Lane},
    db::{Trouble, trouble},
    ids::{Uuid, fresh_uuid},
    journal::{Entry, Moment, Recorded, StuckCause},
    outbox::{Destination, Message},
    run::Run,
    saga::State,
    store::{Append, Claim, Row, Schedule, Stored, Tx, Written},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, ops::Deref};

/// Longer than any test takes; tests let it pass by saying so.
pub(super) const LEASE_SECS: i32 = 36_000;

/// A message to what is ours.
pub(super) fn message(payload: Value) -> Message {
    Message { topic: "test".to_owned(), payload, destination: Destination::Inside }
}

/// A ground with one process on it. It is its ground as well.
pub(super) struct Bench<G: Ground> {
    pub(super) store: G::Store,
    ground: G,
}

impl<G: Ground> Deref for Bench<G> {
    type Target = G;
    fn deref(&self) -> &G {
        &self.ground
    }
}

/// An open transaction.
pub(super) type Open<G> = <<G as Ground>::Store as Store>::Open;

impl<G: Ground> Bench<G> {
    pub(super) async fn new() -> Self {
        let ground = G::new().await;
        Self { store: ground.store(), ground }
    }

    pub(super) async fn begin(&self) -> Open<G> {
        self.store.begin().await.unwrap()
    }

    pub(super) async fn commit(&self, tx: Open<G>) {
        self.store.commit(tx).await.unwrap();
    }

    /// The store's time.
    pub(super) async fn now(&self) -> Moment {
        self.begin().await.now().await.unwrap()
    }

    /// A saga that is due, with its first move.
    pub(super) async fn begun(&self) -> Append {
        let start = started(self.now().await);
        self.create(&[(start.clone(), 0)]).await;
        start
    }

    /// Creates sagas, each with its priority.
    pub(super) async fn create(&self, starts: &[(Append, i16)]) {
        let (appends, priorities): (Vec<_>, Vec<_>) = starts.iter().cloned().unzip();
        let mut tx = self.begin().await;
        tx.create(&appends, &priorities).await.unwrap();
        self.commit(tx).await;
    }

    /// Writes one move in a transaction of its own.
    pub(super) async fn write(&self, append: &Append) -> Stored<()> {
        let mut tx = self.begin().await;
        tx.lock_claims(&[append.run.saga_id]).await?;
        tx.append(std::slice::from_ref(append), LEASE_SECS).await?;
        self.store.commit(tx).await
    }

    /// Claims what comes first, if anything is due.
    pub(super) async fn claim(&self) -> Option<Claim> {
        let mut claims = self.store.claim("test", 1, LEASE_SECS).await.unwrap().claims;
        assert!(claims.len() <= 1, "{claims:?}");
        claims.pop()
    }

    /// Whole, with the moves that wrote it.
    pub(super) async fn journal(&self, saga: SagaId) -> Vec<Written> {
        let (mut journals, _) = self.store.journals(&[saga]).await.unwrap();
        journals.remove(&saga).unwrap().unwrap()
    }
}

/// What was done between two looks at the clock was done at a moment that this allows for.
pub(super) fn is_between(moment: Option<Moment>, before: Moment, after: Moment, secs: i32) -> bool {
    let secs = TimeDelta::seconds(secs.into());
    moment.is_some_and(|moment| (before + secs..=after + secs).contains(&moment))
}

/// The first move of a new saga, due at once.
pub(super) fn started(at: Moment) -> Append {
    started_as(SagaId::fresh(), at, json!({}))
}

pub(super) fn started_as(saga: SagaId, at: Moment, input: Value) -> Append {
    let entry = Entry::Started {
        definition: "raw".to_owned(),
        version: 1,
        input,
        tags: BTreeMap::new(),
        starts_at: at,
        deadline_at: None,
        parent: None,
        by: "test".to_owned(),
        trace: None,
    };
    let run = Run::replay(saga, &[Recorded { seq: 1, at, entry: entry.clone() }]).unwrap();
    let row = Row { waiting_on: "worker", ..Row::default() };
    Append {
        move_id: saga.0,
        at,
        entries: [entry].into(),
        run: run.into(),
        row,
        schedule: Schedule::Wake(Some(at)),
        progress: true,
    }
}

/// A move that follows another and leaves the saga in `state`. Whether it may is not the store's to say.
pub(super) fn then(before: &Append, state: State, entries: Vec<Entry>, schedule: Schedule) -> Append {
    let mut run = Run::clone(&before.run);
    run.seq += i64::try_from(entries.len()).unwrap();
    run.state = state;
    Append { move_id: fresh_uuid(), entries: entries.into(), run: run.into(), schedule, ..before.clone() }
}

pub(super) fn noted(note: Value) -> Entry {
    Entry::Noted { step: "one".to_owned(), lane: Lane::Forward, attempt: 1, note }
}

pub(super) fn succeeded() -> Entry {
    let (step, lane) = ("one".to_owned(), Lane::Forward);
    Entry::Succeeded { step, lane, attempt: 1, output: json!({}), probed: false }
}

pub(super) fn stuck(cause: StuckCause) -> Entry {
    let (step, lane) = (Some("one".to_owned()), Lane::Forward);
    Entry::Stuck { step, lane, cause, failure: Failure::new("no", "no") }
}

/// The moves that wrote a journal.
pub(super) fn moves(journal: &[Written]) -> Vec<Uuid> {
    journal.iter().map(|(_, move_id)| *move_id).collect()
}

/// The same again may pass.
pub(super) fn passes<T>(done: &Stored<T>) -> bool {
    done.as_ref().is_err_and(|error| trouble(error) == Trouble::Passing)
}

/// The same again is refused again.
pub(super) fn lasts<T>(done: &Stored<T>) -> bool {
    done.as_ref().is_err_and(|error| trouble(error) == Trouble::Lasting)
}

/// Waits for something that must come.
pub(super) async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, coming).await.unwrap()
}
