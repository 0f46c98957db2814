//! The step that writes down what is owed, and the one function by which any refund reserves its money.

use super::{
    approve,
    part::{Part, Refundable, Wanted},
};
use crate::{
    gateways::{IdempotencyKey, Reference},
    ids::{ApprovalId, OrderId, PaymentId, RefundId},
    ledger::{self, RefundMove, Round},
    money::{Money, currency_from_code},
    orders::impossible,
};
use async_trait::async_trait;
use orchestrator::{
    action::{Answer, Call, Halt, LocalAction},
    ids::SagaId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// `refunds.reserve`: what was asked for, or else all that an order's gateway has and is not on its way back. Nobody
/// else can give back this money from here on. Twice gives the same refund.
#[derive(Debug, Clone, Copy)]
pub struct ReserveRefund;

/// `refunds.request`: the same and `refunds.approve` in one, for the sagas of versions that had one step for both.
#[derive(Debug, Clone, Copy)]
pub struct RequestRefund;

/// What [`ReserveRefund`] needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestInput {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub requested_by: String,
    /// The one charge that it gives back, where the order has left it behind: seats and tickets are not touched.
    #[serde(default)]
    pub charge: Option<LeftBehindCharge>,
}

/// Names a charge that an order has left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftBehindCharge {
    /// Where.
    pub gateway: String,
    /// By which key.
    pub key: IdempotencyKey,
}

/// What [`ReserveRefund`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequested {
    /// The refund.
    pub refund_id: RefundId,
    /// The gateway that has the money.
    pub gateway: String,
    /// The charge, by that gateway's name for it.
    pub payment: Reference,
    /// How much goes back.
    pub amount: Money,
    /// Which try at the gateway.
    pub generation: i32,
}

#[async_trait]
impl LocalAction for ReserveRefund {
    const NAME: &'static str = "refunds.reserve";
    type Input = RequestInput;
    type Output = RefundRequested;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: RequestInput) -> Answer<RefundRequested> {
        reserve(tx, call, &input).await
    }
}

#[async_trait]
impl LocalAction for RequestRefund {
    const NAME: &'static str = "refunds.request";
    type Input = RequestInput;
    type Output = RefundRequested;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: RequestInput) -> Answer<RefundRequested> {
        let requested = reserve(tx, call, &input).await?;
        approve::release(tx, input.order_id, input.refund_id).await?;
        Ok(requested)
    }
}

async fn reserve(tx: &mut PgConnection, call: &Call, input: &RequestInput) -> Answer<RefundRequested> {
    lock_order(tx, input.order_id).await?;
    if let Some(known) = find(tx, input.refund_id, call.saga_id).await? {
        return known;
    }
    let charge = match owed_in_tx(tx, input.order_id, input.charge.as_ref()).await? {
        Owed::One(charge) => charge,
        Owed::Nothing => {
            let message = format!("nothing of {} is left to refund", input.order_id);
            return Err(Halt::permanent("nothing-captured", message));
        }
        Owed::Several => {
            let message = format!("several charges have money of {}", input.order_id);
            return Err(Halt::permanent("several-captures", message));
        }
    };
    let part = charge.refundable.part(&Wanted::default());
    let part = part.map_err(|error| Halt::permanent("nothing-captured", error.to_string()))?;
    let new = NewRefund {
        refund_id: input.refund_id,
        order_id: input.order_id,
        saga_id: call.saga_id,
        approval_id: None,
        reason: &input.reason,
        requested_by: &input.requested_by,
    };
    reserve_in_tx(tx, &new, &charge, &part).await?;
    let Charge { gateway, reference, .. } = charge;
    let refund_id = input.refund_id;
    Ok(RefundRequested { refund_id, gateway, payment: reference, amount: part.amount, generation: 1 })
}

/// Who asks for a refund, and why.
pub(crate) struct NewRefund<'a> {
    pub(crate) refund_id: RefundId,
    pub(crate) order_id: OrderId,
    pub(crate) saga_id: SagaId,
    /// The second person's, where it needs one.
    pub(crate) approval_id: Option<ApprovalId>,
    pub(crate) reason: &'a str,
    pub(crate) requested_by: &'a str,
}

/// A charge with money of an order.
pub(super) struct Charge {
    pub(super) payment_id: PaymentId,
    gateway: String,
    reference: Reference,
    pub(super) refundable: Refundable,
}

/// Which charges have money of an order that is neither back nor on its way.
pub(super) enum Owed {
    Nothing,
    One(Charge),
    Several,
}

/// Writes a refund down and reserves its money: from here on nobody else can refund it; a check of the database's
/// refuses that.
pub(super) async fn reserve_in_tx(
    tx: &mut PgConnection,
    new: &NewRefund<'_>,
    charge: &Charge,
    part: &Part,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into booking.refunds (refund_id, order_id, payment_id, saga_id, amount_minor, currency, seat_ids,
             seats_minor, state, approval_id, reason, requested_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, case when $9::uuid is null then 'approved' else 'requested' end,
             $9, $10, $11)",
        new.refund_id.0,
        new.order_id.0,
        charge.payment_id.0,
        new.saga_id.0,
        part.amount.amount_minor,
        part.amount.currency.code(),
        &part.seat_ids,
        part.seats_minor,
        new.approval_id.map(|approval| approval.0),
        new.reason,
        new.requested_by,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update booking.payments set refund_asked_minor = refund_asked_minor + $2, updated_at = now()
         where payment_id = $1",
        charge.payment_id.0,
        part.amount.amount_minor
    )
    .execute(&mut *tx)
    .await?;
    ledger::refund_in_tx(tx, new.refund_id, &[(RefundMove::Requested, part.amount)], Round::Once).await
}

async fn lock_order(tx: &mut PgConnection, order: OrderId) -> Answer<()> {
    sqlx::query_scalar!("select order_id from booking.orders where order_id = $1 for update", order.0)
        .fetch_optional(tx)
        .await?
        .map(drop)
        .ok_or_else(|| Halt::permanent("unknown-order", format!("there is no order {order}")))
}

/// The refund, where it was requested before; by this saga, or else it is not ours.
async fn find(tx: &mut PgConnection, refund: RefundId, saga: SagaId) -> Answer<Option<Answer<RefundRequested>>> {
    let row = sqlx::query!(
        r#"select r.saga_id, r.outstanding_minor, r.currency, r.generation, r.state, p.gateway, p.reference as "reference!"
           from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
           where r.refund_id = $1"#,
        refund.0
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.saga_id != saga.0 {
        let other = SagaId(row.saga_id);
        return Ok(Some(Err(Halt::permanent("refund-exists", format!("{refund} is carried out by {other}")))));
    }
    if row.state == "rejected" {
        return Ok(Some(Err(Halt::permanent(approve::WITHDRAWN, format!("{refund} is withdrawn")))));
    }
    Ok(Some(Ok(RefundRequested {
        refund_id: refund,
        gateway: row.gateway,
        payment: reference_of(row.reference, refund)?,
        amount: money_of(row.outstanding_minor, &row.currency, refund)?,
        generation: row.generation,
    })))
}

/// The one charge that has money of the order; what was left behind is not the order's money, and has no seats.
pub(super) async fn owed_in_tx(
    tx: &mut PgConnection,
    order: OrderId,
    left_behind: Option<&LeftBehindCharge>,
) -> Result<Owed, sqlx::Error> {
    let mut rows = sqlx::query!(
        r#"select payment_id, gateway, reference as "reference!", captured_minor,
               captured_minor - refund_asked_minor as "left!", currency
           from booking.payments
           where order_id = $1 and captured_minor > refund_asked_minor
             and case when $2::text is null then left_behind_at is null else (gateway, key) = ($2, $3) end
           order by payment_id
           for update"#,
        order.0,
        left_behind.map(|charge| charge.gateway.as_str()),
        left_behind.map(|charge| charge.key.as_str()),
    )
    .fetch_all(&mut *tx)
    .await?;
    let (Some(row), true) = (rows.pop(), rows.is_empty()) else {
        return Ok(if rows.is_empty() { Owed::Nothing } else { Owed::Several });
    };
    let payment_id = PaymentId(row.payment_id);
    let captured = money_of(row.captured_minor, &row.currency, payment_id)?;
    let left = money_of(row.left, &row.currency, payment_id)?;
    let seats = if left_behind.is_some() { Vec::new() } else { seats_in_tx(tx, order).await? };
    Ok(Owed::One(Charge {
        payment_id,
        reference: reference_of(row.reference, payment_id)?,
        gateway: row.gateway,
        refundable: Refundable::new(captured, left, seats),
    }))
}

/// The seats of an order with their prices, and whether a refund gives each back, or has.
async fn seats_in_tx(tx: &mut PgConnection, order: OrderId) -> Result<Vec<(String, u64, bool)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.seat_id, s.price_minor,
               exists (
                   select from booking.refunds r
                   where r.order_id = o.order_id and r.state <> 'rejected' and s.seat_id = any(r.seat_ids)
               ) as "is_given_back!"
           from booking.orders o
           cross join lateral unnest(o.seat_ids) with ordinality as wanted (seat_id, place)
           join booking.seats s on s.event_id = o.event_id and s.seat_id = wanted.seat_id
           where o.order_id = $1
           order by wanted.place"#,
        order.0
    )
    .fetch_all(tx)
    .await?;
    let seat = |price: i64| u64::try_from(price).unwrap_or_default();
    Ok(rows.into_iter().map(|row| (row.seat_id, seat(row.price_minor), row.is_given_back)).collect())
}

fn reference_of(text: String, row: impl std::fmt::Display) -> Result<Reference, sqlx::Error> {
    Reference::new(text).map_err(|error| impossible("booking.payments", "reference", row, error))
}

pub(super) fn money_of(amount_minor: i64, code: &str, row: impl std::fmt::Display) -> Result<Money, sqlx::Error> {
    let currency = currency_from_code(code).map_err(|error| impossible("booking.payments", "currency", row, error))?;
    Ok(Money::new(amount_minor, currency))
}
