//! Orders as their buyers see them.

use super::{OrderStatus, impossible};
use crate::{
    access::Principal,
    ids::{EventId, OrderId, PaymentId, RefundId, TicketId},
    money::{Money, currency_from_code},
};
use chrono::{DateTime, Utc};
use orchestrator::ids::{SagaId, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgPool, types::Json};

/// An order with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order.
    pub order_id: OrderId,
    /// The saga that carries it out.
    pub saga_id: SagaId,
    /// The event.
    pub event_id: EventId,
    /// Whose it is.
    pub user_id: String,
    /// The seats.
    pub seat_ids: Vec<String>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why it was rejected or cancelled, or needs a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the buyer must do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<Value>,
    /// What it costs.
    pub total: Money,
    /// Every charge, oldest first.
    pub payments: Vec<OrderPayment>,
    /// Every refund, oldest first.
    pub refunds: Vec<OrderRefund>,
    /// Every ticket, in the order of the seats.
    pub tickets: Vec<OrderTicket>,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
}

/// A charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPayment {
    /// The charge.
    pub payment_id: PaymentId,
    /// Where.
    pub gateway: String,
    /// The gateway's name for it, once there is one.
    pub reference: Option<String>,
    /// `pending`, `inDoubt`, `captured`, `declined`, `voided`, `refunded`.
    pub status: String,
    /// How much.
    pub amount: Money,
}

/// Money on its way back, or there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRefund {
    /// The refund.
    pub refund_id: RefundId,
    /// `requested`, `approved`, `rejected`, `submitted`, `pending`, `inDoubt`, `succeeded`, `failed`.
    pub state: String,
    /// How much.
    pub amount: Money,
    /// Whose tickets it took back.
    pub seat_ids: Vec<String>,
    /// Where.
    pub gateway: String,
    /// The gateway's name for it, once there is one.
    pub reference: Option<String>,
}

/// A ticket of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderTicket {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The seat.
    pub seat_id: String,
    /// What the gate checks.
    pub code: String,
    /// Whether it still lets anybody in.
    pub valid: bool,
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Of this user.
    pub user: Option<String>,
    /// With this status.
    pub status: Option<OrderStatus>,
    /// Placed at or after.
    pub from: Option<DateTime<Utc>>,
    /// Placed before.
    pub to: Option<DateTime<Utc>>,
    /// Only those older than this one.
    pub after: Option<OrderId>,
    /// How many at most.
    pub limit: u16,
}

/// The order, if it exists and belongs to somebody that `principal` acts for.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, principal: &Principal, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select order_id as "order_id!", saga_id as "saga_id!", event_id as "event_id!", user_id as "user_id!",
            seat_ids as "seat_ids!", status as "status!", reason, next_action, total_minor as "total_minor!",
            currency as "currency!", created_at as "created_at!", payments as "payments!: Json<Vec<PaymentRow>>",
            refunds as "refunds!: Json<Vec<RefundRow>>", tickets as "tickets!: Json<Vec<TicketRow>>"
         from booking.order_views
         where order_id = $1 and ($2::text is null or user_id = $2)"#,
        id.0,
        principal.user.as_deref(),
    )
    .fetch_optional(pool)
    .await?;
    row.map(Order::try_from).transpose()
}

/// Orders, the newest first. Who acts for one user sees that user's alone.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, principal: &Principal, filter: &OrderFilter) -> Result<Vec<Order>, sqlx::Error> {
    let asked = filter.user.as_deref();
    if asked.is_some_and(|user| !principal.acts_for(user)) {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        Row,
        r#"select order_id as "order_id!", saga_id as "saga_id!", event_id as "event_id!", user_id as "user_id!",
            seat_ids as "seat_ids!", status as "status!", reason, next_action, total_minor as "total_minor!",
            currency as "currency!", created_at as "created_at!", payments as "payments!: Json<Vec<PaymentRow>>",
            refunds as "refunds!: Json<Vec<RefundRow>>", tickets as "tickets!: Json<Vec<TicketRow>>"
         from booking.order_views
         where ($1::text is null or user_id = $1)
            and ($2::text is null or status = $2)
            and ($3::timestamptz is null or created_at >= $3)
            and ($4::timestamptz is null or created_at < $4)
            and ($5::uuid is null or order_id < $5)
         order by order_id desc
         limit $6"#,
        principal.user.as_deref().or(asked),
        filter.status.map(OrderStatus::as_str),
        filter.from,
        filter.to,
        filter.after.map(|order| order.0),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}

struct Row {
    order_id: Uuid,
    saga_id: Uuid,
    event_id: Uuid,
    user_id: String,
    seat_ids: Vec<String>,
    status: String,
    reason: Option<String>,
    next_action: Option<Value>,
    total_minor: i64,
    currency: String,
    created_at: DateTime<Utc>,
    payments: Json<Vec<PaymentRow>>,
    refunds: Json<Vec<RefundRow>>,
    tickets: Json<Vec<TicketRow>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentRow {
    payment_id: Uuid,
    gateway: String,
    reference: Option<String>,
    status: String,
    amount_minor: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefundRow {
    refund_id: Uuid,
    state: String,
    amount_minor: i64,
    currency: String,
    seat_ids: Vec<String>,
    gateway: String,
    reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TicketRow {
    ticket_id: Uuid,
    seat_id: String,
    code: String,
    valid: bool,
}

impl TryFrom<Row> for Order {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let order_id = OrderId(row.order_id);
        let money = |minor: i64, code: &str| {
            let currency =
                currency_from_code(code).map_err(|error| impossible("booking.orders", "currency", order_id, error))?;
            Ok::<_, sqlx::Error>(Money::new(minor, currency))
        };
        let payments = row.payments.0.into_iter().map(|payment| {
            let amount = money(payment.amount_minor, &payment.currency)?;
            let PaymentRow { payment_id, gateway, reference, status, .. } = payment;
            Ok(OrderPayment { payment_id: PaymentId(payment_id), gateway, reference, status, amount })
        });
        let refunds = row.refunds.0.into_iter().map(|refund| {
            let amount = money(refund.amount_minor, &refund.currency)?;
            let RefundRow { refund_id, state, seat_ids, gateway, reference, .. } = refund;
            Ok(OrderRefund { refund_id: RefundId(refund_id), state, amount, seat_ids, gateway, reference })
        });
        let tickets = row.tickets.0.into_iter().map(|ticket| {
            let TicketRow { ticket_id, seat_id, code, valid } = ticket;
            OrderTicket { ticket_id: TicketId(ticket_id), seat_id, code, valid }
        });
        Ok(Self {
            order_id,
            saga_id: SagaId(row.saga_id),
            event_id: EventId(row.event_id),
            user_id: row.user_id,
            seat_ids: row.seat_ids,
            status: row.status.parse().map_err(|error| impossible("booking.orders", "status", order_id, error))?,
            reason: row.reason,
            next_action: row.next_action,
            total: money(row.total_minor, &row.currency)?,
            payments: payments.collect::<Result<_, sqlx::Error>>()?,
            refunds: refunds.collect::<Result<_, sqlx::Error>>()?,
            tickets: tickets.collect(),
            created_at: row.created_at,
        })
    }
}
