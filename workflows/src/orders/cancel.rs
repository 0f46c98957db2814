//! A buyer's cancellation: before the pivot the order's own saga is taken back; after it a refund saga gives
//! everything back, or some of the seats. Nobody has to approve any of these.

use super::{
    OrderEvent, OrderStatus, find,
    place::keys::{self, KeyUsed},
    view::Order,
    whole_refund_id, whole_refund_key,
};
use crate::{
    access::Principal,
    approvals::approval_signal,
    ids::{OrderId, RefundId},
    refunds::{AskError, Awaited, NewRefund, Wanted, reserve_cancelled_in_tx, start_of},
    spawned,
};
use orchestrator::{
    Engine,
    acts::{Act, ActError, ActRequest, DoneAct, record_in_tx},
    catalog::Author,
    ids::{SagaId, Uuid},
    start::{Prepared, Start, StartError, start_in_tx},
};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use std::net::IpAddr;

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
    pub address: Option<IpAddr>,
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
    spawned::run(async move { decide(&engine, &principal, &request).await }).await
}

async fn decide(engine: &Engine, principal: &Principal, request: &CancelOrder) -> Result<Cancelled, CancelError> {
    for _ in 0..TRIES_MAX {
        let order = find(engine.pool(), principal, request.order_id).await?.ok_or(CancelError::NotFound)?;
        use_key(engine, principal, &order, request).await?;
        if let Some(seats) = some_seats(&order, request)? {
            return give_back(engine, principal, &order, &seats, request).await;
        }
        if let Some(known) = cancelled_before(engine, request.order_id).await? {
            return Ok(Cancelled::Replayed(known));
        }
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

/// The seats to give back, in their order, where they are not all of the order's.
fn some_seats(order: &Order, request: &CancelOrder) -> Result<Option<Vec<String>>, CancelError> {
    let Some(wanted) = &request.seat_ids else { return Ok(None) };
    if let Some(foreign) = wanted.iter().find(|seat| !order.seat_ids.contains(seat)) {
        return Err(CancelError::NotCancellable(format!("seat {foreign} is not one of the order's")));
    }
    let seats: Vec<_> = order.seat_ids.iter().filter(|seat| wanted.contains(seat)).cloned().collect();
    Ok((seats.len() < order.seat_ids.len()).then_some(seats))
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
            address: request.address.map(|address| address.to_string()),
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
        key: whole_refund_key(order.order_id),
        ..start_of(order.order_id, order.saga_id, refund_id, &request.reason, &principal.name)
    };
    let prepared = engine.prepare(SagaId::fresh(), start).await?;
    let mut tx = engine.pool().begin().await?;
    let status = lock(&mut tx, order.order_id).await?;
    let Ok(cancelling) = OrderStatus::Confirmed.on(OrderEvent::CancelRequested) else { return Ok(None) };
    if status != OrderStatus::Confirmed.as_str() {
        return Ok(None);
    }
    let wanted = Wanted::default();
    let (cancellation, withdrawn) = reserve(&mut tx, principal, order, refund_id, &prepared, &wanted, request).await?;
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
    tell(engine, withdrawn, &principal.name).await;
    Ok(Some(cancellation))
}

/// Starts the saga that gives some of the seats back; the order keeps the others.
async fn give_back(
    engine: &Engine,
    principal: &Principal,
    order: &Order,
    seats: &[String],
    request: &CancelOrder,
) -> Result<Cancelled, CancelError> {
    let refund_id = part_refund_id(order.order_id, seats);
    let start = start_of(order.order_id, order.saga_id, refund_id, &request.reason, &principal.name);
    let prepared = engine.prepare(SagaId::fresh(), start).await?;
    let mut tx = engine.pool().begin().await?;
    let status = lock(&mut tx, order.order_id).await?;
    let known = sqlx::query_scalar!("select saga_id from booking.refunds where refund_id = $1", refund_id.0)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(saga) = known {
        return Ok(Cancelled::Replayed(Cancellation { refund_id: Some(refund_id), saga_id: SagaId(saga) }));
    }
    if status != OrderStatus::Confirmed.as_str() {
        let why = format!("the order is {status}: some of its seats are given back while it is confirmed");
        return Err(CancelError::NotCancellable(why));
    }
    let wanted = Wanted { amount_minor: None, seat_ids: Some(seats.to_vec()) };
    let (cancellation, withdrawn) = reserve(&mut tx, principal, order, refund_id, &prepared, &wanted, request).await?;
    tx.commit().await?;
    engine.hint();
    tell(engine, withdrawn, &principal.name).await;
    Ok(Cancelled::New(cancellation))
}

/// The refund of these seats of an order, when its buyer gives them back.
fn part_refund_id(order: OrderId, seats: &[String]) -> RefundId {
    let mut seats = seats.to_vec();
    seats.sort();
    RefundId(Uuid::new_v5(&order.0, format!("cancel:{}", seats.join(",")).as_bytes()))
}

async fn lock(tx: &mut PgConnection, order: OrderId) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!("select status from booking.orders where order_id = $1 for update", order.0).fetch_one(tx).await
}

/// Reserves the money that goes back, and starts the saga that gives it back.
async fn reserve(
    tx: &mut PgConnection,
    principal: &Principal,
    order: &Order,
    refund_id: RefundId,
    prepared: &Prepared,
    wanted: &Wanted,
    request: &CancelOrder,
) -> Result<(Cancellation, Vec<Awaited>), CancelError> {
    let new = NewRefund {
        refund_id,
        order_id: order.order_id,
        saga_id: prepared.saga_id,
        approval_id: None,
        reason: &request.reason,
        requested_by: &principal.name,
    };
    let withdrawn = reserve_cancelled_in_tx(tx, &new, wanted).await.map_err(|error| match error {
        AskError::Database(error) => CancelError::Database(error),
        refused => CancelError::NotCancellable(refused.to_string()),
    })?;
    let saga_id = start_in_tx(tx, prepared).await?.saga_id();
    let act = DoneAct {
        by: Author { name: &principal.name, address: request.address },
        act: "order.cancel",
        object: &order.order_id.to_string(),
        reason: &request.reason,
        detail: json!({ "refundId": refund_id, "sagaId": saga_id, "seatIds": wanted.seat_ids }),
    };
    record_in_tx(tx, &act).await?;
    Ok((Cancellation { refund_id: Some(refund_id), saga_id }, withdrawn))
}

/// Wakes the sagas whose refunds are withdrawn. One that is not told finds it out when its wait is over.
async fn tell(engine: &Engine, withdrawn: Vec<Awaited>, by: &str) {
    for Awaited { saga_id, approval_id } in withdrawn {
        let payload = json!({ "approvalId": approval_id, "consents": false });
        if let Err(error) = engine.signal(saga_id, &approval_signal(approval_id), payload, by).await {
            tracing::debug!(%error, %saga_id, "The saga of a withdrawn refund could not be told: {error}");
        }
    }
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
