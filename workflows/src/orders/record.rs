//! Writing orders: those of a batch of requests, and the one of a saga that was started with seats.

use super::place::Placing;
use crate::{holds::BoundHold, ids::OrderId};
use orchestrator::ids::SagaId;
use sqlx::PgConnection;

/// An order that is to be written.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The order.
    pub order_id: OrderId,
    /// The saga that carries it out.
    pub saga_id: SagaId,
    /// Its seats.
    pub hold: BoundHold,
}

/// Writes an order. False when the order, or one of this hold, exists already, unless it is this saga's.
///
/// # Errors
/// The database's.
pub async fn record_in_tx(tx: &mut PgConnection, new: &NewOrder) -> Result<bool, sqlx::Error> {
    let NewOrder { order_id, saga_id, hold } = new;
    let done = sqlx::query!(
        "insert into booking.orders
             (order_id, saga_id, hold_id, event_id, user_id, seat_ids, total_minor, currency)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict do nothing",
        order_id.0,
        saga_id.0,
        hold.hold_id.0,
        hold.event_id.0,
        hold.user_id,
        &hold.seat_ids,
        hold.total.amount_minor,
        hold.total.currency.code(),
    )
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1 || saga_in_tx(tx, *order_id).await? == Some(*saga_id))
}

/// Writes the orders of requests whose holds are bound to them, and where their tickets go.
pub(super) async fn record_all_in_tx(tx: &mut PgConnection, placed: &[&Placing]) -> Result<(), sqlx::Error> {
    let emails: Vec<_> = placed.iter().map(|placing| placing.request.email.clone()).collect();
    sqlx::query!(
        "with placed as (
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) as p (order_id, saga_id, hold_id, email)
         ), mailed as (
             insert into booking.order_emails (order_id, email)
             select order_id, email from placed where email is not null
         )
         insert into booking.orders (order_id, saga_id, hold_id, event_id, user_id, seat_ids, total_minor, currency)
         select p.order_id, p.saga_id, h.hold_id, h.event_id, h.user_id, h.seat_ids, h.total_minor, h.currency
         from placed p join booking.holds h using (hold_id)",
        &placed.iter().map(|placing| placing.order_id.0).collect::<Vec<_>>(),
        &placed.iter().map(|placing| placing.saga_id.0).collect::<Vec<_>>(),
        &placed.iter().map(|placing| placing.request.hold_id.0).collect::<Vec<_>>(),
        &emails as &[Option<String>],
    )
    .execute(tx)
    .await
    .map(drop)
}

/// The saga that carries out the order: another one must not touch it, whatever its input says.
///
/// # Errors
/// The database's.
pub async fn saga_in_tx(tx: &mut PgConnection, order: OrderId) -> Result<Option<SagaId>, sqlx::Error> {
    let saga = sqlx::query_scalar!("select saga_id from booking.orders where order_id = $1", order.0)
        .fetch_optional(tx)
        .await?;
    Ok(saga.map(SagaId))
}
