//! What the business keeps beside the journal: rows of its own that follow from moves, written in the same
//! transaction.

use crate::{
    action::Failure,
    catalog::Known,
    ids::SagaId,
    journal::Entry,
    run::Run,
    saga::State,
    store::{Append, Postgres, Store},
};
use async_trait::async_trait;
use std::sync::Arc;

/// A move that is being committed.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The saga.
    pub saga_id: SagaId,
    /// Its definition, to look up a step's action.
    pub known: Arc<Known>,
    /// What this move appends.
    pub entries: Arc<[Entry]>,
    /// Where the saga stands after it.
    pub state: State,
    /// Why it compensates or is stuck, if it does or is.
    pub failure: Option<Failure>,
    /// The saga after the move.
    pub run: Arc<Run>,
}

impl Moved {
    pub(crate) fn new(append: &Append, known: &Arc<Known>) -> Self {
        let run = &append.run;
        let failure = run.stuck.as_ref().map(|stuck| stuck.failure.clone()).or_else(|| run.cause.clone());
        Self {
            saga_id: run.saga_id,
            known: Arc::clone(known),
            entries: Arc::clone(&append.entries),
            state: run.state,
            failure,
            run: Arc::clone(run),
        }
    }

    /// The action that a step runs.
    #[must_use]
    pub fn action_of(&self, step: &str) -> Option<&str> {
        let position = self.known.definition.position(step)?;
        Some(&self.known.definition.steps[position].action)
    }
}

/// Keeps rows of the business in step with moves. May be called again with the same moves after a rollback.
#[async_trait]
pub trait Projection<S: Store = Postgres>: Send + Sync + 'static {
    /// Writes what follows from `moves`, in order.
    ///
    /// # Errors
    /// The database's; the whole transaction is then rolled back.
    async fn apply(&self, tx: &mut S::Tx, moves: &[Moved]) -> Result<(), sqlx::Error>;

    /// Whether what a finished saga has done still holds, so that another may go on from there; why not, for people. What
    /// it looks at stays as it is for the rest of the transaction.
    ///
    /// # Errors
    /// The database's.
    async fn may_fork(&self, _tx: &mut S::Tx, _run: &Run) -> Result<Result<(), String>, sqlx::Error> {
        Ok(Ok(()))
    }
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProjection;

#[async_trait]
impl<S: Store> Projection<S> for NoProjection {
    async fn apply(&self, _tx: &mut S::Tx, _moves: &[Moved]) -> Result<(), sqlx::Error> {
        Ok(())
    }
}
