//! What an order becomes when one of its refunds has ended, or has come back. Which move that is, the order's own table
//! says ([`OrderStatus::on`]); an order that never had its tickets ends with its own saga.

use super::{
    approve::{all_is_back, no_seat_is_left},
    books::{self, Reversed},
};
use crate::{
    ids::{OrderId, RefundId},
    money::Money,
    orders::{CANCELLED, OrderEvent, OrderStatus, impossible},
};
use sqlx::PgConnection;

/// Why an order needs a person whose refund has come back.
pub(crate) const REFUND_REVERSED: &str = "refund-reversed";

/// An order as it stands, locked: nothing else of its money moves meanwhile.
struct Locked {
    status: OrderStatus,
    confirmed: bool,
    /// Its own saga has been taken back.
    taken_back: bool,
    /// It is being cancelled by another refund than this one.
    cancelled_otherwise: bool,
}

/// Locks the order of a refund.
async fn lock(tx: &mut PgConnection, order: OrderId, refund: RefundId) -> Result<Option<Locked>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select o.status, o.confirmed_at is not null as "confirmed!",
               coalesce(o.cancel_refund_id <> $2, false) as "cancelled_otherwise!",
               coalesce((select s.state = 'compensated' from engine.saga_states s where s.saga_id = o.saga_id),
                        engine.was_dropped(o.saga_id)) as "taken_back!"
           from booking.orders o where o.order_id = $1 for update of o"#,
        order.0,
        refund.0
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let status = row.status.parse().map_err(|error| impossible("booking.orders", "status", order, error))?;
    Ok(Some(Locked {
        status,
        confirmed: row.confirmed,
        taken_back: row.taken_back,
        cancelled_otherwise: row.cancelled_otherwise,
    }))
}

/// Locks an order before its refund's rows, in the order in which all others do.
pub(crate) async fn lock_in_tx(tx: &mut PgConnection, order: OrderId) -> Result<(), sqlx::Error> {
    sqlx::query!("select order_id from booking.orders where order_id = $1 for update", order.0)
        .fetch_optional(tx)
        .await
        .map(drop)
}

/// The refund's money is back: the order goes where it was to go. True when nothing of the order's own money is left.
pub(crate) async fn refunded_in_tx(
    tx: &mut PgConnection,
    order: OrderId,
    refund: RefundId,
) -> Result<bool, sqlx::Error> {
    let locked = lock(tx, order, refund).await?;
    let of_left_behind = sqlx::query_scalar!(
        r#"select p.left_behind_at is not null as "left_behind!"
           from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
           where r.refund_id = $1"#,
        refund.0
    )
    .fetch_one(&mut *tx)
    .await?;
    let books = sqlx::query!(
        r#"select
               (select coalesce(sum(captured_minor - refunded_minor), 0)::bigint from booking.payments
                where order_id = $1 and left_behind_at is null) as "kept!",
               exists (select from booking.refunds
                       where order_id = $1 and state not in ('requested', 'succeeded', 'rejected')) as "more_to_come!""#,
        order.0
    )
    .fetch_one(&mut *tx)
    .await?;
    let in_full = books.kept == 0;
    let Some(locked) = locked else { return Ok(in_full) };
    let event = if locked.confirmed && !of_left_behind && all_is_back(tx, order).await? {
        Some(OrderEvent::RefundedInFull)
    } else if books.more_to_come {
        None
    } else if locked.confirmed {
        let keeps_seats = !no_seat_is_left(tx, order).await?;
        (keeps_seats && !locked.cancelled_otherwise).then_some(OrderEvent::RefundedInPart)
    } else {
        // it had ended before its refund came back
        (locked.taken_back && !of_left_behind).then_some(OrderEvent::Failed)
    };
    if let Some(event) = event {
        move_on(tx, order, refund, locked.status, event).await?;
    }
    Ok(in_full)
}

async fn move_on(
    tx: &mut PgConnection,
    order: OrderId,
    refund: RefundId,
    status: OrderStatus,
    event: OrderEvent,
) -> Result<(), sqlx::Error> {
    let reason = sqlx::query_scalar!("select reason from booking.refunds where refund_id = $1", refund.0)
        .fetch_one(&mut *tx)
        .await?;
    let event = if event == OrderEvent::Failed && reason == CANCELLED { OrderEvent::TakenBack } else { event };
    let Ok(next) = status.on(event) else { return Ok(()) };
    let reason = (event != OrderEvent::RefundedInPart).then_some(reason);
    sqlx::query!(
        "update booking.orders set status = $2, reason = $3, next_action = null, updated_at = now() where order_id = $1",
        order.0,
        next.as_str(),
        reason
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A generation of a refund has failed after it had brought money back: the books say so, and the order needs a person.
/// False when there is nothing to take back, or that was known.
pub(crate) async fn reversed_in_tx(
    tx: &mut PgConnection,
    (order, refund): (OrderId, RefundId),
    generation: i32,
    amount: Money,
) -> Result<bool, sqlx::Error> {
    let locked = lock(tx, order, refund).await?;
    let Some(reversed) = books::reversed_in_tx(tx, refund, generation, amount).await? else { return Ok(false) };
    // what an order has left behind was never its money
    let status = locked.filter(|_| reversed == Reversed::OfOrder).map(|locked| locked.status);
    if let Some(Ok(next)) = status.map(|status| status.on(OrderEvent::RefundReversed)) {
        sqlx::query!(
            "update booking.orders set status = $2, reason = $3, next_action = null, updated_at = now()
             where order_id = $1",
            order.0,
            next.as_str(),
            REFUND_REVERSED
        )
        .execute(tx)
        .await?;
    }
    Ok(true)
}
