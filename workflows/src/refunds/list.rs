//! Refunds as finance sees them.

use super::approve;
use crate::{
    ids::{ApprovalId, OrderId, RefundId},
    money::{Money, currency_from_code},
    orders::impossible,
};
use chrono::{DateTime, Utc};
use orchestrator::ids::{SagaId, Uuid};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

/// All states of a refund.
pub const REFUND_STATES: [&str; 8] =
    ["requested", "approved", "rejected", "submitted", "pending", "inDoubt", "succeeded", "failed"];

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The refund.
    pub refund_id: RefundId,
    /// Of which order.
    pub order_id: OrderId,
    /// The saga that carries it out.
    pub saga_id: SagaId,
    /// Where.
    pub gateway: String,
    /// The gateway's name for it, once there is one.
    pub reference: Option<String>,
    /// How much goes back.
    pub amount: Money,
    /// How much of it is not back yet.
    pub outstanding: Money,
    /// Whose tickets it takes back.
    pub seat_ids: Vec<String>,
    /// How far it has come.
    pub state: String,
    /// How often the gateway was asked.
    pub attempts: i32,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// By whom: a person, or the saga that takes an order back.
    pub requested_by: String,
    /// The second person's approval, where it needs one.
    pub approval_id: Option<ApprovalId>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A place in the list.
pub type RefundPosition = (DateTime<Utc>, RefundId);

/// Which refunds to list.
#[derive(Debug, Clone, Default)]
pub struct RefundFilter {
    /// In this state.
    pub state: Option<String>,
    /// Asked for at or after.
    pub from: Option<DateTime<Utc>>,
    /// Asked for before.
    pub to: Option<DateTime<Utc>>,
    /// An order's or a refund's id, or a gateway's name for the refund or its charge.
    pub text: Option<String>,
    /// Only those that come after this place.
    pub after: Option<RefundPosition>,
    /// How many at most.
    pub limit: u32,
}

/// Refunds, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &RefundFilter) -> Result<Vec<Refund>, sqlx::Error> {
    let text = filter.text.as_deref();
    let rows = sqlx::query_as!(
        Row,
        r#"select r.refund_id, r.order_id, r.saga_id, p.gateway, r.reference, r.amount_minor, r.outstanding_minor,
               r.currency, r.seat_ids, r.state, r.attempts, r.reason, r.requested_at, r.requested_by, r.approval_id,
               r.finished_at
           from booking.refunds r join booking.payments p on p.payment_id = r.payment_id
           where ($1::text is null or r.state = $1)
               and ($2::timestamptz is null or r.requested_at >= $2)
               and ($3::timestamptz is null or r.requested_at < $3)
               and ($4::text is null
                    or r.refund_id = $5 or r.order_id = $6 or r.reference = $4 or p.reference = $4)
               and ($7::timestamptz is null or (r.requested_at, r.refund_id) < ($7, $8))
           order by r.requested_at desc, r.refund_id desc
           limit $9"#,
        filter.state,
        filter.from,
        filter.to,
        text,
        text.and_then(|text| text.parse().ok()).map(|refund: RefundId| refund.0),
        text.and_then(|text| text.parse().ok()).map(|order: OrderId| order.0),
        filter.after.map(|(at, _)| at),
        filter.after.map(|(_, refund)| refund.0),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Refund::try_from).collect()
}

/// One refund.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, refund: RefundId) -> Result<Option<Refund>, sqlx::Error> {
    let filter = RefundFilter { text: Some(refund.to_string()), limit: 1, ..RefundFilter::default() };
    Ok(list(pool, &filter).await?.pop())
}

/// The saga of the refund with this id, where there is one.
pub(crate) async fn saga_of(pool: &PgPool, refund: &str) -> Result<Option<SagaId>, sqlx::Error> {
    let Ok(refund) = refund.parse::<RefundId>() else { return Ok(None) };
    let saga = sqlx::query_scalar!("select saga_id from booking.refunds where refund_id = $1", refund.0)
        .fetch_optional(pool)
        .await?;
    Ok(saga.map(SagaId))
}

/// What a second person consents to, of the refund with this id, as it stands.
pub(crate) async fn content_in_tx(tx: &mut PgConnection, refund: &str) -> Result<Option<Value>, sqlx::Error> {
    let Ok(refund) = refund.parse::<RefundId>() else { return Ok(None) };
    let order = sqlx::query_scalar!("select order_id from booking.refunds where refund_id = $1", refund.0)
        .fetch_optional(&mut *tx)
        .await?;
    match order {
        Some(order) => approve::content_in_tx(tx, OrderId(order), refund).await,
        None => Ok(None),
    }
}

struct Row {
    refund_id: Uuid,
    order_id: Uuid,
    saga_id: Uuid,
    gateway: String,
    reference: Option<String>,
    amount_minor: i64,
    outstanding_minor: i64,
    currency: String,
    seat_ids: Vec<String>,
    state: String,
    attempts: i32,
    reason: String,
    requested_at: DateTime<Utc>,
    requested_by: String,
    approval_id: Option<Uuid>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Refund {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let refund_id = RefundId(row.refund_id);
        let currency = currency_from_code(&row.currency)
            .map_err(|error| impossible("booking.refunds", "currency", refund_id, error))?;
        Ok(Self {
            refund_id,
            order_id: OrderId(row.order_id),
            saga_id: SagaId(row.saga_id),
            gateway: row.gateway,
            reference: row.reference,
            amount: Money::new(row.amount_minor, currency),
            outstanding: Money::new(row.outstanding_minor, currency),
            seat_ids: row.seat_ids,
            state: row.state,
            attempts: row.attempts,
            reason: row.reason,
            requested_at: row.requested_at,
            requested_by: row.requested_by,
            approval_id: row.approval_id.map(ApprovalId),
            finished_at: row.finished_at,
        })
    }
}
