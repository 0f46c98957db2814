//! An order's status, from the moves of its saga and of its refund's.

use crate::{
    holds::release_order_in_tx,
    ids::OrderId,
    orders::{BOOK_TICKETS, OrderEvent, OrderStatus, REFUND_ORDER, impossible, order_of},
    payments::{Charge, PaymentNote},
};
use orchestrator::{
    Moved,
    action::{ExternalAction, Lane},
    journal::{ActKind, Entry},
    run::Phase,
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;

/// What a move means for an order.
struct Change {
    event: OrderEvent,
    /// Why, where the new status needs a reason.
    reason: Option<String>,
    /// What the buyer must do, where they must do something.
    next_action: Option<Value>,
}

impl Change {
    fn of(event: OrderEvent) -> Self {
        Self { event, reason: None, next_action: None }
    }

    fn because(event: OrderEvent, reason: impl Into<String>) -> Self {
        Self { event, reason: Some(reason.into()), next_action: None }
    }
}

/// Moves the orders of `moves` on.
pub(super) async fn apply(tx: &mut PgConnection, moves: &[Moved]) -> Result<(), sqlx::Error> {
    for moved in moves {
        let Some(order) = order_of(&moved.saga_input) else { continue };
        let changes = match moved.run.definition.as_str() {
            BOOK_TICKETS => of_booking(moved),
            REFUND_ORDER => of_refund(moved),
            _ => continue,
        };
        if !changes.is_empty() {
            change(tx, order, moved, changes).await?;
        }
        if moved.run.definition == BOOK_TICKETS && moved.entries.contains(&Entry::Compensated) && never_held(moved) {
            // placing the order bound the hold, and no step came to give it back
            release_order_in_tx(tx, order).await?;
        }
    }
    Ok(())
}

fn never_held(moved: &Moved) -> bool {
    moved.known.definition.steps.first().is_some_and(|step| moved.run.step(&step.step).forward.phase == Phase::Untouched)
}

/// What a move of an order's own saga means.
fn of_booking(moved: &Moved) -> Vec<Change> {
    let code = || moved.failure.as_ref().map_or("unknown", |failure| failure.code.as_str()).to_owned();
    let charges = |step: &str| moved.action_of(step) == Some(Charge::NAME);
    let mut changes = Vec::new();
    for entry in &moved.entries {
        changes.extend(match entry {
            Entry::Noted { note, .. } => match PaymentNote::deserialize(note) {
                Ok(PaymentNote::ActionRequired { next_action, .. }) => {
                    Some(Change { event: OrderEvent::BuyerNeeded, reason: None, next_action: Some(next_action) })
                }
                _ => None,
            },
            Entry::Intended { step, lane: Lane::Forward, .. } | Entry::Succeeded { step, lane: Lane::Forward, .. }
                if charges(step) =>
            {
                Some(Change::of(OrderEvent::PaymentResumed))
            }
            Entry::Acted { act: ActKind::Cancel, .. } => Some(Change::of(OrderEvent::CancelRequested)),
            Entry::Acted { act: ActKind::Retry, .. } => Some(Change::of(OrderEvent::Retried)),
            Entry::Stuck { failure, .. } => Some(Change::because(OrderEvent::Stuck, failure.code.clone())),
            Entry::Killed => Some(Change::because(OrderEvent::Stuck, "killed")),
            Entry::Completed => Some(Change::of(OrderEvent::Completed)),
            Entry::Compensated if code() == "cancelled" => Some(Change::because(OrderEvent::TakenBack, "cancelled")),
            Entry::Compensated => Some(Change::because(OrderEvent::Failed, code())),
            _ => None,
        });
    }
    changes
}

/// What a move of a refund's saga means; its success is written by its last step.
fn of_refund(moved: &Moved) -> Vec<Change> {
    let change = |entry: &Entry| match entry {
        Entry::Stuck { failure, .. } => Some(Change::because(OrderEvent::Stuck, failure.code.clone())),
        Entry::Killed => Some(Change::because(OrderEvent::Stuck, "refund-killed")),
        // it could not even be requested
        Entry::Compensated => {
            let code = moved.failure.as_ref().map_or("refund-not-done", |failure| failure.code.as_str());
            Some(Change::because(OrderEvent::Stuck, code))
        }
        Entry::Acted { act: ActKind::Retry, .. } => Some(Change::of(OrderEvent::RefundRetried)),
        _ => None,
    };
    moved.entries.iter().filter_map(change).collect()
}

/// Makes the moves that the table has. Others are no mistake: a retry of a saga that never needed attention, say.
async fn change(tx: &mut PgConnection, order: OrderId, moved: &Moved, changes: Vec<Change>) -> Result<(), sqlx::Error> {
    let own = moved.run.definition == BOOK_TICKETS;
    let row = sqlx::query!(
        "select status, reason, next_action from booking.orders
         where order_id = $1 and (not $2::bool or saga_id = $3) for update",
        order.0,
        own,
        moved.saga_id.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let before: OrderStatus =
        row.status.parse().map_err(|error| impossible("booking.orders", "status", order, error))?;
    let (mut status, mut reason, mut next_action) = (before, row.reason, row.next_action);
    for change in changes {
        let moved_to = status.on(change.event).or_else(|refused| match change.event {
            // wanted by somebody, but not as a cancellation of this order
            OrderEvent::TakenBack => status.on(OrderEvent::Failed),
            _ => Err(refused),
        });
        if let Ok(next) = moved_to {
            status = next;
            reason = change.reason;
            next_action = change.next_action;
        }
    }
    if next_action.is_some() != (status == OrderStatus::ActionRequired) {
        next_action = None;
    }
    sqlx::query!(
        "update booking.orders set status = $2, reason = $3, next_action = $4, updated_at = now(),
                confirmed_at = case when $5 then coalesce(confirmed_at, now()) else confirmed_at end
         where order_id = $1",
        order.0,
        status.as_str(),
        reason,
        next_action,
        status == OrderStatus::Confirmed
    )
    .execute(tx)
    .await
    .map(drop)
}
