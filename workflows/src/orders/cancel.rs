//! A buyer's cancellation: before the pivot the order's own saga is taken back; after it a refund saga gives
//! everything back. Nobody has to approve either.

use super::{
    OrderEvent, OrderStatus, REFUND_ORDER, find,
    place::keys::{self, KeyUsed},
    view::Order,
    whole_refund_id, whole_refund_key,
};
use crate::{
    access::Principal,
    ids::{OrderId, RefundId},
    spawned,
};
use orchestrator::{
    CHILD_OWNER, Engine,
    acts::{Act, ActError, ActRequest},
    ids::SagaId,
    start::{Start, StartError, start_in_tx},
};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

/// How often a cancellation looks again when the saga moves under it.
const TRIES_MAX: u32 = 20;

/// What a buyer asks for.
#[derive(Debug, Clone)]
pub struct CancelOrder {
    /// The order.
    pub order_id: OrderId,
    /// Why, in the buyer's words.
    pub reason: String,
    /// The seats to give back; without them, all.
    pub seat_ids: Option<Vec<String>>,
    /// The same key may only come with the same request again.
    pub idempotency_key: Option<String>,
    /// From where the request came.
    pub address: Option<String>,
}

/// How a cancellation is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// The refund; none when nothing was charged yet.
    pub refund_id: Option<RefundId>,
    /// The saga that carries it out.
    pub saga_id: SagaId,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It is carried out now.
    New(Cancellation),
    /// It is carried out already, as an earlier request was told.
    Replayed(Cancellation),
}

impl Cancelled {
    /// How the order is cancelled.
    #[must_use]
    pub fn cancellation(self) -> Cancellation {
        match self {
            Self::New(cancellation) | Self::Replayed(cancellation) => cancellation,
        }
    }
}

/// Why an order is not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such order, or it belongs to another.
    #[error("there is no such order")]
    NotFound,
    /// Where it stands it cannot be cancelled.
    #[error("{0}")]
    NotCancellable(String),
    /// The key was used for something else.
    #[error("this idempotency key was used for another request")]
    IdempotencyConflict,
    /// The saga could not be asked.
    #[error("cancelling the order's saga")]
    Act(#[source] ActError),
    /// The refund could not be started.
    #[error("starting the refund")]
    Start(#[from] StartError),
    /// The database.
    #[error("cancelling the order")]
    Database(#[from] sqlx::Error),
}

/// Cancels an order. Asking again gives the same answer. It goes on to its end when the caller goes away.
///
/// # Errors
/// See [`CancelError`].
pub async fn cancel(engine: &Engine, principal: &Principal, request: CancelOrder) -> Result<Cancelled, CancelError> {
    let (engine, principal) = (engine.clone(), principal.clone());
    spawned::finish(tokio::spawn(async move { decide(&engine, &principal, &request).await })).await
}

async fn decide(engine: &Engine, principal: &Principal, request: &CancelOrder) -> Result<Cancelled, CancelError> {
    for _ in 0..TRIES_MAX {
        let order = find(engine.pool(), principal, request.order_id).await?.ok_or(CancelError::NotFound)?;
        use_key(engine, principal, &order, request).await?;
        if let Some(known) = cancelled_before(engine, request.order_id).await? {
            return Ok(Cancelled::Replayed(known));
        }
        whole_order(&order, request)?;
        let tried = match order.status {
            OrderStatus::Confirmed => refund(engine, principal, &order, request).await?,
            OrderStatus::Pending | OrderStatus::ActionRequired | OrderStatus::Attention => {
                take_back(engine, principal, &order, request).await?
            }
            OrderStatus::Rejected | OrderStatus::Cancelling | OrderStatus::Cancelled => {
                return Err(CancelError::NotCancellable(format!("the order is {}", order.status)));
            }
        };
        if let Some(cancellation) = tried {
            return Ok(Cancelled::New(cancellation));
        }
        // it moved while we looked
        tokio::task::yield_now().await;
    }
    Err(CancelError::NotCancellable("the order is being carried out at this moment; ask again".to_owned()))
}

/// Keeps the key for this request, whatever becomes of it: with another one it says nothing about what was meant.
async fn use_key(
    engine: &Engine,
    principal: &Principal,
    order: &Order,
    request: &CancelOrder,
) -> Result<(), CancelError> {
    let Some(key) = &request.idempotency_key else { return Ok(()) };
    // beside the keys under which the same caller places orders
    let owner = format!("cancel:{}", principal.key_owner());
    let body = json!([request.order_id, request.reason, request.seat_ids]);
    match keys::use_once(engine.pool(), (&owner, key), &body, order.order_id, order.saga_id).await? {
        KeyUsed::ForThis => Ok(()),
        KeyUsed::ForAnother => Err(CancelError::IdempotencyConflict),
    }
}

/// Some of the seats cannot be cancelled alone yet.
fn whole_order(order: &Order, request: &CancelOrder) -> Result<(), CancelError> {
    let Some(seats) = &request.seat_ids else { return Ok(()) };
    if let Some(foreign) = seats.iter().find(|seat| !order.seat_ids.contains(seat)) {
        return Err(CancelError::NotCancellable(format!("seat {foreign} is not one of the order's")));
    }
    if order.seat_ids.iter().all(|seat| seats.contains(seat)) {
        return Ok(());
    }
    Err(CancelError::NotCancellable("an order can only be cancelled as a whole".to_owned()))
}

/// The answer that was given before.
async fn cancelled_before(engine: &Engine, order: OrderId) -> Result<Option<Cancellation>, sqlx::Error> {
    let row = sqlx::query!("select cancel_saga_id, cancel_refund_id from booking.orders where order_id = $1", order.0)
        .fetch_optional(engine.pool())
        .await?;
    Ok(row.and_then(|row| {
        Some(Cancellation { saga_id: SagaId(row.cancel_saga_id?), refund_id: row.cancel_refund_id.map(RefundId) })
    }))
}

/// Has the order's own saga compensate. None: it moved meanwhile.
async fn take_back(
    engine: &Engine,
    principal: &Principal,
    order: &Order,
    request: &CancelOrder,
) -> Result<Option<Cancellation>, CancelError> {
    let view = engine.saga(order.saga_id).await.map_err(|error| CancelError::Act(error.into()))?;
    let history = || CancelError::NotCancellable("what the order did was over long ago".to_owned());
    let run = view.ok_or_else(history)?.run;
    if run.cancel.is_none() {
        let act = ActRequest {
            saga_id: order.saga_id,
            act: Act::Cancel,
            reason: request.reason.clone(),
            seq: run.seq,
            by: principal.name.clone(),
            address: request.address.clone(),
        };
        match engine.act(act).await {
            Ok(_) => {}
            Err(ActError::MovedOn { .. }) => return Ok(None),
            Err(ActError::NotAllowed(why)) => return Err(CancelError::NotCancellable(why)),
            Err(error) => return Err(CancelError::Act(error)),
        }
    }
    let refund_id = order.payments.iter().any(|payment| payment.status == "captured");
    let cancellation =
        Cancellation { refund_id: refund_id.then(|| whole_refund_id(order.order_id)), saga_id: order.saga_id };
    let mut connection = engine.pool().acquire().await?;
    remember(&mut connection, order.order_id, cancellation).await?;
    Ok(Some(cancellation))
}

/// Starts the saga that gives everything back. None: the order moved meanwhile.
async fn refund(
    engine: &Engine,
    principal: &Principal,
    order: &Order,
    request: &CancelOrder,
) -> Result<Option<Cancellation>, CancelError> {
    let refund_id = whole_refund_id(order.order_id);
    let start = Start {
        definition: REFUND_ORDER.to_owned(),
        version: None,
        input: json!({
            "orderId": order.order_id, "refundId": refund_id, "reason": request.reason, "requestedBy": principal.name,
        }),
        owner: CHILD_OWNER.to_owned(),
        key: whole_refund_key(order.order_id),
        tags: [("order".to_owned(), order.order_id.to_string()), ("refund".to_owned(), refund_id.to_string())].into(),
        starts_at: None,
        priority: 0,
        parent: Some(order.saga_id),
        by: principal.name.clone(),
    };
    let prepared = engine.prepare(SagaId::fresh(), start).await?;
    let mut tx = engine.pool().begin().await?;
    let status =
        sqlx::query_scalar!("select status from booking.orders where order_id = $1 for update", order.order_id.0)
            .fetch_one(&mut *tx)
            .await?;
    let Ok(cancelling) = OrderStatus::Confirmed.on(OrderEvent::CancelRequested) else { return Ok(None) };
    if status != OrderStatus::Confirmed.as_str() {
        return Ok(None);
    }
    let saga_id = start_in_tx(&mut tx, &prepared).await?.saga_id();
    let cancellation = Cancellation { refund_id: Some(refund_id), saga_id };
    sqlx::query!(
        "update booking.orders set status = $2, updated_at = now() where order_id = $1",
        order.order_id.0,
        cancelling.as_str()
    )
    .execute(&mut *tx)
    .await?;
    remember(&mut tx, order.order_id, cancellation).await?;
    tx.commit().await?;
    engine.hint();
    Ok(Some(cancellation))
}

async fn remember(connection: &mut PgConnection, order: OrderId, how: Cancellation) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.orders set cancel_saga_id = $2, cancel_refund_id = $3
         where order_id = $1 and cancel_saga_id is null",
        order.0,
        how.saga_id.0,
        how.refund_id.map(|refund| refund.0)
    )
    .execute(connection)
    .await
    .map(drop)
}
