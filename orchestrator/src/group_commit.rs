//! Group commit: while one transaction is on its way to disk, what arrives gathers; then all of it goes in one.
//!
//! It never waits to fill a batch, so one item alone has the latency of one commit, and a thousand share it.
//! An item that the database refuses does not take its batch down with it: the batch is split until it is alone.
//! When the answer to COMMIT is lost, the same items are applied again, so [`Work::apply`] must find out for
//! itself what is done already.

use crate::{
    db::{Trouble, trouble},
    store::{Postgres, Store},
};
use async_trait::async_trait;
use futures::FutureExt;
use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How many items share a transaction at most.
pub const BATCH_ITEMS_MAX: usize = 512;
/// How many items may wait for their turn before submitters are made to wait.
pub const QUEUE_ITEMS_MAX: usize = 4_096;
/// How long passing trouble of the database is waited out before submitters are told.
const PASSING_TRIES_MAX: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is done with a batch inside one transaction.
#[async_trait]
pub trait Work<S: Store = Postgres>: Send + Sync + 'static {
    /// What its commits are called where they are measured.
    const NAME: &'static str;
    /// What is submitted.
    type Item: Send + Sync + 'static;
    /// What each submitter is told.
    type Answer: Send + 'static;

    /// Applies all items and answers each, in order. Called again with the same items when a COMMIT's fate is
    /// unknown.
    ///
    /// # Errors
    /// Any error rolls the transaction back; lasting ones split the batch.
    async fn apply(&self, tx: &mut S::Tx, items: &[Arc<Self::Item>]) -> Result<Vec<Self::Answer>, sqlx::Error>;

    /// Called after a batch is durable.
    fn committed(&self) {}
}

/// Why an item was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The database refuses this item.
    #[error("the database refuses it: {0}")]
    Refused(Arc<sqlx::Error>),
    /// The database was away for longer than we wait. Whether it is done is unknown.
    #[error("the database is away: {0}")]
    Away(Arc<sqlx::Error>),
    /// We are stopping.
    #[error("the committer has stopped")]
    Stopped,
}

struct Submitted<S: Store, W: Work<S>> {
    item: Arc<W::Item>,
    answer: oneshot::Sender<Result<W::Answer, CommitError>>,
}

/// A committer: one transaction at a time, each with all that has gathered.
pub struct GroupCommit<W: Work<S>, S: Store = Postgres> {
    queue: mpsc::Sender<Submitted<S, W>>,
}

impl<S: Store, W: Work<S>> Clone for GroupCommit<W, S> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<S: Store, W: Work<S>> GroupCommit<W, S> {
    /// Starts the committer. It ends when its last handle is dropped, after the last item.
    #[must_use]
    pub fn start(store: S, work: W) -> Self {
        let (queue, items) = mpsc::channel(QUEUE_ITEMS_MAX);
        tokio::spawn(run(store, Arc::new(work), items));
        Self { queue }
    }

    /// Commits `item` with whatever else is waiting. Dropping the future does not take the item back.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn submit(&self, item: impl Into<Arc<W::Item>>) -> Result<W::Answer, CommitError> {
        let (answer, answered) = oneshot::channel();
        let submitted = Submitted { item: item.into(), answer };
        self.queue.send(submitted).await.map_err(|_| CommitError::Stopped)?;
        answered.await.map_err(|_| CommitError::Stopped)?
    }
}

async fn run<S: Store, W: Work<S>>(store: S, work: Arc<W>, mut items: mpsc::Receiver<Submitted<S, W>>) {
    let mut batch = Vec::with_capacity(BATCH_ITEMS_MAX);
    while items.recv_many(&mut batch, BATCH_ITEMS_MAX).await > 0 {
        commit(&store, work.as_ref(), std::mem::take(&mut batch)).await;
    }
}

/// Commits a batch, in halves where an item of it is refused.
async fn commit<S: Store, W: Work<S>>(store: &S, work: &W, batch: Vec<Submitted<S, W>>) {
    let mut parts = VecDeque::from([batch]);
    while let Some(mut part) = parts.pop_front() {
        let items: Vec<_> = part.iter().map(|submitted| Arc::clone(&submitted.item)).collect();
        let begun = Instant::now();
        match settle(store, work, &items).await {
            Ok(answers) => {
                let size = u32::try_from(part.len()).unwrap_or(u32::MAX);
                metrics::histogram!("showrunner_commit_batch_items", "work" => W::NAME).record(size);
                metrics::histogram!("showrunner_commit_seconds", "work" => W::NAME).record(begun.elapsed());
                work.committed();
                for (submitted, answer) in part.into_iter().zip(answers) {
                    // a submitter that has gone away does not need its answer
                    drop(submitted.answer.send(Ok(answer)));
                }
            }
            Err(CommitError::Refused(_)) if part.len() > 1 => {
                let second = part.split_off(part.len() / 2);
                parts.push_front(second);
                parts.push_front(part);
            }
            Err(error) => {
                for submitted in part {
                    drop(submitted.answer.send(Err(error.clone())));
                }
            }
        }
    }
}

/// Applies `items` until it is known what became of them.
async fn settle<S: Store, W: Work<S>>(
    store: &S,
    work: &W,
    items: &[Arc<W::Item>],
) -> Result<Vec<W::Answer>, CommitError> {
    let mut pause = PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let tried = attempt(store, work, items).await;
        if tried.is_err() {
            metrics::counter!("showrunner_commit_failures_total", "work" => W::NAME).increment(1);
        }
        match tried {
            Ok(answers) => return Ok(answers),
            Err(error) if trouble(&error) == Trouble::Lasting => return Err(CommitError::Refused(Arc::new(error))),
            Err(error) if deadlocked(&error) && items.len() > 1 => return Err(CommitError::Refused(Arc::new(error))),
            Err(error) if tries >= PASSING_TRIES_MAX => return Err(CommitError::Away(Arc::new(error))),
            Err(error) => {
                tracing::warn!(error = %error, batch.items = items.len(), "A commit failed and is tried again: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Two processes' batches have met: apart they pass.
fn deadlocked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|database| database.code()).as_deref() == Some("40P01")
}

async fn attempt<S: Store, W: Work<S>>(
    store: &S,
    work: &W,
    items: &[Arc<W::Item>],
) -> Result<Vec<W::Answer>, sqlx::Error> {
    let mut tx = store.begin().await?;
    // a panic is the item's fault, not the committer's: it must go on for all others
    let applying = AssertUnwindSafe(work.apply(&mut tx, items)).catch_unwind();
    let answers =
        applying.await.map_err(|_| sqlx::Error::AnyDriverError("the work panicked; see the log".into()))??;
    store.commit(tx).await?;
    Ok(answers)
}
