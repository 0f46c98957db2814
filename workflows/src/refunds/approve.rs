//! The step after which a refund only goes forward, and what takes it back before.

use super::{disputed, request::money_of};
use crate::{
    approvals::{self, Consent, approval_signal},
    holds::return_seats_in_tx,
    ids::{ApprovalId, OrderId, PaymentId, RefundId},
    ledger::{self, RefundMove, Round},
    orders::{OrderEvent, OrderStatus, impossible},
    tickets,
};
use async_trait::async_trait;
use orchestrator::{
    action::{Answer, Call, Halt, LocalAction, Wait},
    ids::SagaId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

/// The code of a refund that is not made because somebody has withdrawn it.
pub(crate) const WITHDRAWN: &str = "refund-withdrawn";

/// The code of a refund that is not made because the buyer's bank takes the money back.
const DISPUTED: &str = "charge-disputed";

/// `refunds.approve`: waits for a second person, where the refund needs one. From here on its seats are free and its
/// tickets void.
#[derive(Debug, Clone, Copy)]
pub struct ApproveRefund;

/// `refunds.withdraw`: the refund is not made, and its money is free for another.
#[derive(Debug, Clone, Copy)]
pub struct WithdrawRefund;

/// What [`ApproveRefund`] and [`WithdrawRefund`] need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApproveInput {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
}

/// What [`ApproveRefund`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundApproved {
    /// The second person, where it needed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// The order keeps none of its seats.
    pub of_all_seats: bool,
}

/// What [`WithdrawRefund`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundWithdrawn {}

#[async_trait]
impl LocalAction for ApproveRefund {
    const NAME: &'static str = "refunds.approve";
    type Input = ApproveInput;
    type Output = RefundApproved;

    async fn run(&self, tx: &mut PgConnection, _call: &Call, input: ApproveInput) -> Answer<RefundApproved> {
        release(tx, input.order_id, input.refund_id).await
    }
}

#[async_trait]
impl LocalAction for WithdrawRefund {
    const NAME: &'static str = "refunds.withdraw";
    type Input = ApproveInput;
    type Output = RefundWithdrawn;

    async fn run(&self, tx: &mut PgConnection, call: &Call, _input: ApproveInput) -> Answer<RefundWithdrawn> {
        // nothing was written down, or it is withdrawn already: nothing happens
        withdraw_in_tx(tx, call.saga_id).await?;
        Ok(RefundWithdrawn {})
    }
}

/// The refund of a saga is not made, where it was not let go before: its money is free for another.
pub(crate) async fn withdraw_in_tx(tx: &mut PgConnection, saga: SagaId) -> Result<(), sqlx::Error> {
    let withdrawn = sqlx::query!(
        "with withdrawn as (
             update booking.refunds set state = 'rejected', finished_at = now()
             where saga_id = $1 and state in ('requested', 'approved') and released_at is null
             returning refund_id, payment_id, amount_minor, currency, approval_id
         )
         update booking.payments p
         set refund_asked_minor = p.refund_asked_minor - w.amount_minor, updated_at = now()
         from withdrawn w where p.payment_id = w.payment_id
         returning w.refund_id, w.amount_minor, w.currency, w.approval_id",
        saga.0,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = withdrawn else { return Ok(()) };
    let refund = RefundId(row.refund_id);
    let amount = money_of(row.amount_minor, &row.currency, refund)?;
    ledger::refund_in_tx(tx, refund, &[(RefundMove::Withdrawn, amount)], Round::Once).await?;
    match row.approval_id {
        Some(approval) => approvals::close_in_tx(tx, ApprovalId(approval)).await,
        None => Ok(()),
    }
}

/// What waits for consent, and the saga that waits.
pub(crate) struct Awaited {
    pub(crate) saga_id: SagaId,
    pub(crate) approval_id: ApprovalId,
}

/// What finance has asked for of an order, and nobody has consented to yet, is not made: its money is free for another.
pub(super) async fn withdraw_awaited_in_tx(tx: &mut PgConnection, order: OrderId) -> Result<Vec<Awaited>, sqlx::Error> {
    // approvals before refunds, as whoever decides takes them
    let rows = sqlx::query!(
        "select r.saga_id, a.approval_id
         from booking.refunds r join booking.approvals a on a.approval_id = r.approval_id
         where r.order_id = $1 and r.state = 'requested' and r.released_at is null and a.state = 'requested'
         order by a.approval_id for update of a",
        order.0
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut awaited = Vec::with_capacity(rows.len());
    for row in rows {
        let saga_id = SagaId(row.saga_id);
        withdraw_in_tx(tx, saga_id).await?;
        awaited.push(Awaited { saga_id, approval_id: ApprovalId(row.approval_id) });
    }
    Ok(awaited)
}

/// A refund as it is written down.
struct Row {
    payment_id: PaymentId,
    amount_minor: i64,
    currency: String,
    seat_ids: Vec<String>,
    reason: String,
    approval_id: Option<ApprovalId>,
    is_released: bool,
    is_withdrawn: bool,
}

/// Lets the refund go, where nobody need consent or somebody has.
pub(super) async fn release(tx: &mut PgConnection, order: OrderId, refund: RefundId) -> Answer<RefundApproved> {
    let status = sqlx::query_scalar!("select status from booking.orders where order_id = $1 for update", order.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Halt::permanent("unknown-order", format!("there is no order {order}")))?;
    let row = lock(tx, order, refund).await?;
    let row = row.ok_or_else(|| Halt::permanent("unknown-refund", format!("{order} has no refund {refund}")))?;
    if row.is_withdrawn {
        return Err(Halt::permanent(WITHDRAWN, format!("{refund} is withdrawn")));
    }
    let approved_by = match row.approval_id {
        Some(approval) => Some(consent(tx, approval, &content(order, refund, &row)).await?),
        None => None,
    };
    if !row.is_released {
        // it may have been asked for long ago; what is asked back of the charge has it already
        if let Some(held) = disputed::in_the_way_in_tx(tx, row.payment_id, 0).await? {
            let message = format!("{held} of the charge is disputed: the buyer's bank takes it back");
            return Err(Halt::permanent(DISPUTED, message));
        }
        sqlx::query!(
            "update booking.refunds set state = 'approved', released_at = now() where refund_id = $1",
            refund.0
        )
        .execute(&mut *tx)
        .await?;
        tickets::revoke_in_tx(tx, order, &row.seat_ids, "refunded").await?;
        return_seats_in_tx(tx, order, &row.seat_ids).await?;
    }
    let of_all_seats = !row.seat_ids.is_empty() && no_seat_is_left(tx, order).await?;
    if of_all_seats {
        cancelling(tx, order, &status).await?;
    }
    Ok(RefundApproved { approved_by, of_all_seats })
}

/// By whom there is consent to this refund as it stands.
async fn consent(tx: &mut PgConnection, approval: ApprovalId, present: &Value) -> Answer<String> {
    match approvals::consent_in_tx(tx, approval, present).await? {
        Consent::Given(by) => Ok(by),
        Consent::Refused(code, why) => Err(Halt::permanent(code, why)),
        Consent::Awaited(expires_at) => Err(Halt::Wait(Wait {
            signal: Some(approval_signal(approval)),
            until: Some(expires_at),
            reason: format!("a second person of finance to decide {approval}"),
            ..Wait::default()
        })),
    }
}

async fn lock(tx: &mut PgConnection, order: OrderId, refund: RefundId) -> Result<Option<Row>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select payment_id, amount_minor, currency, seat_ids, reason, approval_id, state,
               released_at is not null as "is_released!"
           from booking.refunds where refund_id = $1 and order_id = $2 for update"#,
        refund.0,
        order.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Row {
        payment_id: PaymentId(row.payment_id),
        amount_minor: row.amount_minor,
        currency: row.currency,
        seat_ids: row.seat_ids,
        reason: row.reason,
        approval_id: row.approval_id.map(ApprovalId),
        is_released: row.is_released,
        is_withdrawn: row.state == "rejected",
    }))
}

/// What a second person consents to: all that matters of a refund.
pub(super) async fn content_in_tx(
    tx: &mut PgConnection,
    order: OrderId,
    refund: RefundId,
) -> Result<Option<Value>, sqlx::Error> {
    Ok(lock(tx, order, refund).await?.map(|row| content(order, refund, &row)))
}

fn content(order: OrderId, refund: RefundId, row: &Row) -> Value {
    json!({
        "refundId": refund, "orderId": order, "paymentId": row.payment_id,
        "amount": { "amount": row.amount_minor, "currency": row.currency }, "seatIds": row.seat_ids,
        "reason": row.reason,
    })
}

/// Whether refunds give back all the seats of an order, or have.
pub(super) async fn no_seat_is_left(tx: &mut PgConnection, order: OrderId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select not exists (
               select from unnest(o.seat_ids) as seat (seat_id)
               where not exists (
                   select from booking.refunds r
                   where r.order_id = o.order_id and seat.seat_id = any(r.seat_ids)
                     -- releases before this one wrote no time
                     and (r.released_at is not null or r.state not in ('requested', 'approved', 'rejected'))
               )
           ) as "all!"
           from booking.orders o where o.order_id = $1"#,
        order.0
    )
    .fetch_one(tx)
    .await
}

/// Whether an order has given back all its seats, and the money for them is there.
pub(super) async fn all_is_back(tx: &mut PgConnection, order: OrderId) -> Result<bool, sqlx::Error> {
    let is_on_its_way = sqlx::query_scalar!(
        r#"select exists (
               select from booking.refunds r
               join booking.payments p on p.payment_id = r.payment_id and p.left_behind_at is null
               where r.order_id = $1 and r.state not in ('requested', 'rejected', 'succeeded')
           ) as "some!""#,
        order.0
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(!is_on_its_way && no_seat_is_left(tx, order).await?)
}

/// An order that has its tickets no more is on its way to being cancelled.
async fn cancelling(tx: &mut PgConnection, order: OrderId, status: &str) -> Result<(), sqlx::Error> {
    let status: OrderStatus = status.parse().map_err(|error| impossible("booking.orders", "status", order, error))?;
    let (OrderStatus::Confirmed, Ok(next)) = (status, status.on(OrderEvent::CancelRequested)) else { return Ok(()) };
    sqlx::query!(
        "update booking.orders set status = $2, updated_at = now() where order_id = $1",
        order.0,
        next.as_str()
    )
    .execute(tx)
    .await
    .map(drop)
}
