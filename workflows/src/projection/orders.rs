//! An order's status, from the moves of its saga and of its refund's.

use crate::{
    approvals::is_without_consent,
    holds::release_order_in_tx,
    ids::OrderId,
    orders::{BOOK_TICKETS, CANCELLED, OrderEvent, OrderStatus, REFUND_ORDER, impossible, order_of},
    payments::{Charge, PaymentNote},
    refunds::{WITHDRAWN, order::REFUND_REVERSED},
};
use orchestrator::{
    Moved,
    action::{ExternalAction, Lane},
    ids::{SagaId, Uuid},
    journal::{ActKind, Entry},
    run::{Phase, Run},
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::BTreeMap;

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

/// Moves the orders of `moves` on, all in two statements.
pub(super) async fn apply(tx: &mut PgConnection, moves: &[Moved]) -> Result<(), sqlx::Error> {
    let mut told: BTreeMap<OrderId, Vec<(&Moved, Change)>> = BTreeMap::new();
    for moved in moves {
        let Some(order) = order_of(&moved.run.input) else { continue };
        let changes = match moved.run.definition.as_str() {
            BOOK_TICKETS => of_booking(moved),
            REFUND_ORDER => of_refund(moved),
            _ => continue,
        };
        if !changes.is_empty() {
            told.entry(order).or_default().extend(changes.into_iter().map(|change| (moved, change)));
        }
    }
    if !told.is_empty() {
        write(tx, told).await?;
    }
    for moved in moves.iter().filter(|moved| moved.run.definition == BOOK_TICKETS) {
        if let Some(into) = moved.run.forked_into {
            hand_over(tx, moved.saga_id, into).await?;
        }
    }
    let compensated =
        |moved: &&Moved| moved.run.definition == BOOK_TICKETS && moved.entries.contains(&Entry::Compensated);
    let taken_back: Vec<_> = moves.iter().filter(compensated).map(|moved| moved.saga_id.0).collect();
    if !taken_back.is_empty() {
        keep_for_a_person(tx, &taken_back).await?;
    }
    for moved in moves {
        let ended = moved.run.definition == BOOK_TICKETS && moved.entries.contains(&Entry::Compensated);
        if let Some(order) = order_of(&moved.run.input).filter(|_| ended && never_held(moved)) {
            // placing the order bound the hold, and no step came to give it back
            release_order_in_tx(tx, order).await?;
        }
    }
    Ok(())
}

/// An order whose payment was given back, or is asked back, has nothing that its tickets could be issued for.
pub(super) async fn may_fork(tx: &mut PgConnection, run: &Run) -> Result<Result<(), String>, sqlx::Error> {
    let is_asked_back = sqlx::query_scalar!(
        r#"select exists (
               select from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
               where r.order_id = o.order_id and r.state <> 'rejected' and p.left_behind_at is null
           ) as "some!"
           from booking.orders o where o.saga_id = $1 for update of o"#,
        run.saga_id.0
    )
    .fetch_optional(tx)
    .await?;
    let refused = || Err("money of its order has gone back, or is asked back".to_owned());
    Ok(if is_asked_back == Some(true) { refused() } else { Ok(()) })
}

/// The saga that goes on in another's place is the order's from here on.
async fn hand_over(tx: &mut PgConnection, from: SagaId, into: SagaId) -> Result<(), sqlx::Error> {
    sqlx::query!("update booking.orders set saga_id = $2, updated_at = now() where saga_id = $1", from.0, into.0)
        .execute(tx)
        .await
        .map(drop)
}

/// An order that was taken back while its refund came back to us has not ended.
async fn keep_for_a_person(tx: &mut PgConnection, sagas: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.orders o set status = $2, reason = $3, updated_at = now()
         where o.saga_id = any($1) and o.status in ('rejected', 'cancelled')
           and exists (
               select from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
               where r.order_id = o.order_id and r.state = 'failed' and p.left_behind_at is null)",
        sagas,
        OrderStatus::Attention.as_str(),
        REFUND_REVERSED
    )
    .execute(tx)
    .await
    .map(drop)
}

fn never_held(moved: &Moved) -> bool {
    moved
        .known
        .definition
        .steps
        .first()
        .is_some_and(|step| moved.run.step(&step.step).forward.phase == Phase::Untouched)
}

/// What a move of an order's own saga means.
fn of_booking(moved: &Moved) -> Vec<Change> {
    let code = || moved.failure.as_ref().map_or("unknown", |failure| failure.code.as_str()).to_owned();
    let charges = |step: &str| moved.action_of(step) == Some(Charge::NAME);
    let mut changes = Vec::new();
    for entry in moved.entries.iter() {
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
            Entry::Acted { act: ActKind::Retry, .. } if moved.run.cancel.is_some() => {
                Some(Change::of(OrderEvent::TakingBackRetried))
            }
            Entry::Acted { act: ActKind::Retry, .. } | Entry::ForkedInto { .. } => {
                Some(Change::of(OrderEvent::Retried))
            }
            Entry::Compensating { .. } => Some(Change::of(OrderEvent::PaymentResumed)),
            Entry::Stuck { failure, .. } => Some(Change::because(OrderEvent::Stuck, failure.code.clone())),
            Entry::Killed => Some(Change::because(OrderEvent::Stuck, "killed")),
            Entry::Completed => Some(Change::of(OrderEvent::Completed)),
            Entry::Compensated if code() == CANCELLED => Some(Change::because(OrderEvent::TakenBack, CANCELLED)),
            Entry::Compensated => Some(Change::because(OrderEvent::Failed, code())),
            _ => None,
        });
    }
    changes
}

/// What a move of a refund's saga means; its success is written by its last step.
fn of_refund(moved: &Moved) -> Vec<Change> {
    // of a charge that the order has left behind: not its money, and the refund's own case tells of it
    if moved.run.input.get("charge").is_some() {
        return Vec::new();
    }
    let change = |entry: &Entry| match entry {
        Entry::Stuck { failure, .. } => Some(Change::because(OrderEvent::Stuck, failure.code.clone())),
        Entry::Killed => Some(Change::because(OrderEvent::Stuck, "refund-killed")),
        Entry::Compensated => {
            let code = moved.failure.as_ref().map_or("refund-not-done", |failure| failure.code.as_str());
            // without consent nothing has happened to the order; else it could not even be requested
            let nothing_happened = is_without_consent(code) || code == WITHDRAWN;
            (!nothing_happened).then(|| Change::because(OrderEvent::Stuck, code))
        }
        Entry::Acted { act: ActKind::Retry, .. } => Some(Change::of(OrderEvent::TakingBackRetried)),
        _ => None,
    };
    moved.entries.iter().filter_map(change).collect()
}

/// An order as it stands, and then as it is to stand.
struct Standing {
    status: OrderStatus,
    reason: Option<String>,
    next_action: Option<Value>,
}

impl Standing {
    /// Makes the move if the table has it. Where it has not, that is no mistake: a retry of a saga that never
    /// needed attention, say.
    fn on(&mut self, change: Change) {
        let moved_to = self.status.on(change.event).or_else(|refused| match change.event {
            // wanted by somebody, but not as a cancellation of this order
            OrderEvent::TakenBack => self.status.on(OrderEvent::Failed),
            _ => Err(refused),
        });
        if let Ok(status) = moved_to {
            *self = Self { status, reason: change.reason, next_action: change.next_action };
        }
    }
}

async fn write(tx: &mut PgConnection, mut told: BTreeMap<OrderId, Vec<(&Moved, Change)>>) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = told.keys().map(|order| order.0).collect();
    let rows = sqlx::query!(
        "select order_id, saga_id, status, reason, next_action from booking.orders
         where order_id = any($1) order by order_id for update",
        &ids
    )
    .fetch_all(&mut *tx)
    .await?;
    let (mut ids, mut statuses, mut reasons, mut next_actions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let order = OrderId(row.order_id);
        let status = row.status.parse().map_err(|error| impossible("booking.orders", "status", order, error))?;
        let mut standing = Standing { status, reason: row.reason, next_action: row.next_action };
        for (moved, change) in told.remove(&order).unwrap_or_default() {
            // another saga that names the order in its input has no say
            if moved.run.definition != BOOK_TICKETS || moved.saga_id.0 == row.saga_id {
                standing.on(change);
            }
        }
        ids.push(row.order_id);
        statuses.push(standing.status.as_str().to_owned());
        reasons.push(standing.reason);
        next_actions.push(standing.next_action);
    }
    sqlx::query!(
        "update booking.orders o
         set status = told.status, reason = told.reason, next_action = told.next_action, updated_at = now(),
             confirmed_at = case when told.status = 'confirmed' then coalesce(o.confirmed_at, now())
                                 else o.confirmed_at end
         from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) as told (order_id, status, reason, next_action)
         where o.order_id = told.order_id
             and (o.status, o.reason, o.next_action)
                 is distinct from (told.status, told.reason, told.next_action)",
        &ids,
        &statuses,
        &reasons as &[Option<String>],
        &next_actions as &[Option<Value>]
    )
    .execute(tx)
    .await
    .map(drop)
}
