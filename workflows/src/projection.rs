//! Rows of ours that follow from moves: an order's status, its payments, its refunds. Written in the transaction of
//! the move, so that they never lag and never lie.

mod money;
mod orders;

use crate::refunds;
use async_trait::async_trait;
use orchestrator::{Moved, Projection, journal::Entry, run::Run};
use sqlx::PgConnection;

/// Keeps orders, payments and refunds in step with their sagas.
#[derive(Debug, Clone, Copy, Default)]
pub struct BookingProjection;

#[async_trait]
impl Projection for BookingProjection {
    async fn apply(&self, tx: &mut PgConnection, moves: &[Moved]) -> Result<(), sqlx::Error> {
        money::payments(tx, moves).await?;
        for moved in moves {
            money::refunds(tx, moved).await?;
            if moved.entries.contains(&Entry::Killed) {
                refunds::withdraw_in_tx(tx, moved.saga_id).await?;
            }
        }
        orders::apply(tx, moves).await
    }

    async fn may_fork(&self, tx: &mut PgConnection, run: &Run) -> Result<Result<(), String>, sqlx::Error> {
        orders::may_fork(tx, run).await
    }
}
