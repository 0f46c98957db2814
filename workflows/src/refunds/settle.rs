//! The step that closes the books on a refund whose money is back.

use super::approve::all_is_back;
use crate::{
    gateways::Reference,
    ids::{OrderId, RefundId},
    ledger::{self, RefundMove},
    money::{Money, currency_from_code},
    orders::{OrderEvent, OrderStatus, impossible},
};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, LocalAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// `refunds.settle`: the refund has succeeded, the payment says so, and an order that was confirmed is cancelled.
#[derive(Debug, Clone, Copy)]
pub struct SettleRefund;

/// What [`SettleRefund`] needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettleInput {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// The gateway's name for it.
    pub reference: Reference,
}

/// What [`SettleRefund`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// Nothing of the order's money is left with us.
    pub in_full: bool,
}

#[async_trait]
impl LocalAction for SettleRefund {
    const NAME: &'static str = "refunds.settle";
    type Input = SettleInput;
    type Output = Settled;

    async fn run(&self, tx: &mut PgConnection, _call: &Call, input: SettleInput) -> Answer<Settled> {
        let order = sqlx::query!(
            r#"select status, confirmed_at is not null as "confirmed!" from booking.orders
               where order_id = $1 for update"#,
            input.order_id.0
        )
        .fetch_optional(&mut *tx)
        .await?;
        succeed(tx, &input).await?;
        let of_left_behind = sqlx::query_scalar!(
            r#"select p.left_behind_at is not null as "left_behind!"
               from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
               where r.refund_id = $1"#,
            input.refund_id.0
        )
        .fetch_one(&mut *tx)
        .await?;
        let kept = sqlx::query_scalar!(
            r#"select coalesce(sum(captured_minor - refunded_minor), 0)::bigint as "kept!" from booking.payments
               where order_id = $1 and left_behind_at is null"#,
            input.order_id.0
        )
        .fetch_one(&mut *tx)
        .await?;
        let in_full = kept == 0;
        // An order that never had its tickets ends with its own saga; what it left behind was never its money.
        if let Some(order) = order.filter(|order| order.confirmed && !of_left_behind)
            && all_is_back(tx, input.order_id).await?
        {
            cancel(tx, input.order_id, input.refund_id, &order.status).await?;
        }
        Ok(Settled { in_full })
    }
}

/// The refund and its payment; nothing happens when it runs again.
async fn succeed(tx: &mut PgConnection, input: &SettleInput) -> Result<(), sqlx::Error> {
    let row = sqlx::query!(
        "with before as (
             select refund_id, state from booking.refunds where refund_id = $1 and state <> 'succeeded' for update
         ), done as (
             update booking.refunds r set state = 'succeeded', reference = $2, finished_at = now()
             from before where r.refund_id = before.refund_id
             returning before.state, r.payment_id, r.attempts, r.amount_minor, r.currency
         )
         update booking.payments p
         set refunded_minor = p.refunded_minor + done.amount_minor, updated_at = now(),
             status = case when p.refunded_minor + done.amount_minor = p.captured_minor then 'refunded' else p.status end
         from done where p.payment_id = done.payment_id
         returning done.state, done.attempts, done.amount_minor, done.currency",
        input.refund_id.0,
        input.reference.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let wrong = |error| impossible("booking.refunds", "currency", input.refund_id, error);
    let amount = Money::new(row.amount_minor, currency_from_code(&row.currency).map_err(wrong)?);
    let moved = if row.state == "failed" { RefundMove::SucceededAfterAll } else { RefundMove::Succeeded };
    ledger::refund_in_tx(tx, input.refund_id, moved, amount, row.attempts).await
}

async fn cancel(tx: &mut PgConnection, order: OrderId, refund: RefundId, status: &str) -> Result<(), sqlx::Error> {
    let status: OrderStatus = status.parse().map_err(|error| impossible("booking.orders", "status", order, error))?;
    let Ok(cancelled) = status.on(OrderEvent::RefundedInFull) else { return Ok(()) };
    sqlx::query!(
        "update booking.orders o set status = $2, reason = r.reason, updated_at = now()
         from booking.refunds r where o.order_id = $1 and r.refund_id = $3",
        order.0,
        cancelled.as_str(),
        refund.0,
    )
    .execute(tx)
    .await
    .map(drop)
}
