//! The step that writes down what is owed.

use crate::{
    gateways::{IdempotencyKey, Reference},
    holds::return_seats_in_tx,
    ids::{OrderId, PaymentId, RefundId},
    money::{Money, currency_from_code},
    orders::impossible,
    tickets,
};
use async_trait::async_trait;
use orchestrator::{
    action::{Answer, Call, Halt, LocalAction},
    ids::{SagaId, Uuid},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// `refunds.request`: all that an order's gateway has and is not on its way back. The tickets are void and the
/// seats free from here on. Twice gives the same refund.
#[derive(Debug, Clone, Copy)]
pub struct RequestRefund;

/// What [`RequestRefund`] needs.
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

/// What [`RequestRefund`] gives.
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

struct Owed {
    payment_id: PaymentId,
    gateway: String,
    reference: Reference,
    amount: Money,
}

struct ToRefund {
    seat_ids: Vec<String>,
    confirmed: bool,
}

#[async_trait]
impl LocalAction for RequestRefund {
    const NAME: &'static str = "refunds.request";
    type Input = RequestInput;
    type Output = RefundRequested;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: RequestInput) -> Answer<RefundRequested> {
        let mut order = lock_order(tx, input.order_id).await?;
        if let Some(known) = find(tx, input.refund_id, call.saga_id).await? {
            return known;
        }
        let owed = owed(tx, input.order_id, input.charge.as_ref()).await?;
        if input.charge.is_some() {
            order = ToRefund { seat_ids: Vec::new(), confirmed: false };
        }
        insert(tx, call.saga_id, &input, &order, &owed).await?;
        if order.confirmed {
            tickets::revoke_in_tx(tx, input.order_id, &order.seat_ids, "refunded").await?;
            return_seats_in_tx(tx, input.order_id, &order.seat_ids).await?;
        }
        let Owed { gateway, reference, amount, .. } = owed;
        Ok(RefundRequested { refund_id: input.refund_id, gateway, payment: reference, amount, generation: 1 })
    }
}

async fn lock_order(tx: &mut PgConnection, order: OrderId) -> Answer<ToRefund> {
    sqlx::query_as!(
        ToRefund,
        r#"select seat_ids, confirmed_at is not null as "confirmed!" from booking.orders
           where order_id = $1 for update"#,
        order.0
    )
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| Halt::permanent("unknown-order", format!("there is no order {order}")))
}

/// The refund, where it was requested before; by this saga, or else it is not ours.
async fn find(tx: &mut PgConnection, refund: RefundId, saga: SagaId) -> Answer<Option<Answer<RefundRequested>>> {
    let row = sqlx::query!(
        r#"select r.saga_id, r.amount_minor, r.currency, r.generation, p.gateway, p.reference as "reference!"
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
    Ok(Some(Ok(RefundRequested {
        refund_id: refund,
        gateway: row.gateway,
        payment: reference_of(row.reference, refund)?,
        amount: money_of(row.amount_minor, &row.currency, refund)?,
        generation: row.generation,
    })))
}

/// The one charge that has money of the order; what was left behind is not the order's money.
async fn owed(tx: &mut PgConnection, order: OrderId, left_behind: Option<&LeftBehindCharge>) -> Answer<Owed> {
    let mut rows = sqlx::query!(
        r#"select payment_id, gateway, reference as "reference!", captured_minor - refund_asked_minor as "left!", currency
           from booking.payments
           where order_id = $1 and captured_minor > refund_asked_minor
             and case when $2::text is null then left_behind_at is null else (gateway, key) = ($2, $3) end
           order by payment_id
           for update"#,
        order.0,
        left_behind.map(|charge| charge.gateway.as_str()),
        left_behind.map(|charge| charge.key.as_str()),
    )
    .fetch_all(tx)
    .await?;
    let (Some(row), true) = (rows.pop(), rows.is_empty()) else {
        return Err(if rows.is_empty() {
            Halt::permanent("nothing-captured", format!("nothing of {order} is left to refund"))
        } else {
            Halt::permanent("several-captures", format!("several charges have money of {order}"))
        });
    };
    let payment_id = PaymentId(row.payment_id);
    Ok(Owed {
        payment_id,
        reference: reference_of(row.reference, payment_id)?,
        amount: money_of(row.left, &row.currency, payment_id)?,
        gateway: row.gateway,
    })
}

async fn insert(
    tx: &mut PgConnection,
    saga: SagaId,
    input: &RequestInput,
    order: &ToRefund,
    owed: &Owed,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into booking.refunds (refund_id, order_id, payment_id, saga_id, amount_minor, currency, seat_ids,
             state, reason, requested_by)
         values ($1, $2, $3, $4, $5, $6, $7, 'approved', $8, $9)",
        input.refund_id.0,
        input.order_id.0,
        owed.payment_id.0,
        saga.0,
        owed.amount.amount_minor,
        owed.amount.currency.code(),
        &order.seat_ids,
        input.reason,
        input.requested_by,
    )
    .execute(&mut *tx)
    .await?;
    reserve(tx, owed.payment_id.0, owed.amount.amount_minor).await
}

/// From here on nobody else can refund this money: a check of the database's refuses it.
async fn reserve(tx: &mut PgConnection, payment: Uuid, amount_minor: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.payments set refund_asked_minor = refund_asked_minor + $2, updated_at = now()
         where payment_id = $1",
        payment,
        amount_minor
    )
    .execute(tx)
    .await
    .map(drop)
}

fn reference_of(text: String, row: impl std::fmt::Display) -> Result<Reference, sqlx::Error> {
    Reference::new(text).map_err(|error| impossible("booking.payments", "reference", row, error))
}

fn money_of(amount_minor: i64, code: &str, row: impl std::fmt::Display) -> Result<Money, sqlx::Error> {
    let currency = currency_from_code(code).map_err(|error| impossible("booking.payments", "currency", row, error))?;
    Ok(Money::new(amount_minor, currency))
}
