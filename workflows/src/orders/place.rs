//! Placing an order: in one transaction the key is taken, the hold is bound and extended, the order is written
//! and its saga started. All of it, or nothing.

use super::{BOOK_TICKETS, InvalidPaymentMethod, KEY_OWNER, OrderStatus, PaymentMethod};
use crate::{
    access::Principal,
    holds::{BindError, BoundHold, bind_to_order_in_tx},
    ids::{HoldId, OrderId},
    spawned,
};
use orchestrator::{
    Engine,
    db::{Trouble, trouble},
    ids::SagaId,
    start::{Prepared, Start, StartError, Started, start_in_tx},
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// The longest idempotency key.
const KEY_CHARS_MAX: usize = 255;
/// The longest e-mail address (RFC 5321).
const EMAIL_CHARS_MAX: usize = 254;
/// How often a placement is settled again when the database goes away in the middle.
const TRIES_MAX: u32 = 8;
const PAUSE: Duration = Duration::from_millis(50);
/// One in so many of the pool's connections may place orders: a rush of buyers must not keep everything else
/// from the database.
const POOL_SHARE: u32 = 2;
/// How many expired keys one statement deletes.
const EXPIRED_PER_BATCH: i64 = 10_000;

/// What a buyer wants.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// The hold that becomes an order.
    pub hold_id: HoldId,
    /// What it is paid with.
    pub payment_method: PaymentMethod,
    /// The same key and content again is the same order.
    pub idempotency_key: String,
    /// Where the tickets go.
    pub email: Option<String>,
}

/// What a buyer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The order.
    pub order_id: OrderId,
    /// The saga that carries it out.
    pub saga_id: SagaId,
    /// As it was when the order was placed.
    pub status: OrderStatus,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It is an order now.
    New(Placement),
    /// It was one already.
    Replayed(Placement),
}

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Not a token, or card data.
    #[error(transparent)]
    PaymentMethod(#[from] InvalidPaymentMethod),
    /// Empty, too long, or with characters that cannot be seen.
    #[error("an idempotency key has 1 to {KEY_CHARS_MAX} printable characters")]
    Key,
    /// Not an address.
    #[error("this is not an e-mail address")]
    Email,
    /// The hold does not exist, or belongs to another.
    #[error("there is no such reservation")]
    NotFound,
    /// The hold has ended.
    #[error("the reservation has ended")]
    HoldExpired,
    /// The hold has an order already, placed with another key.
    #[error("the reservation has an order already")]
    OrderExists,
    /// The key was used for something else.
    #[error("this idempotency key was used for another request")]
    IdempotencyConflict,
    /// The saga could not be started.
    #[error("starting the saga of the order")]
    Start(#[from] StartError),
    /// The database.
    #[error("placing the order")]
    Database(#[from] sqlx::Error),
}

impl From<BindError> for PlaceError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::NotFound => Self::NotFound,
            BindError::Expired => Self::HoldExpired,
            BindError::OrderExists(_) => Self::OrderExists,
            BindError::Database(error) => Self::Database(error),
        }
    }
}

/// Places orders.
#[derive(Clone)]
pub struct Places {
    engine: Engine,
    order_hold: Duration,
    /// Whoever places waits here for a turn, and not for a connection, which everybody else waits for as well.
    turns: Arc<Semaphore>,
}

/// A request with everything that must be the same when it is settled again.
struct Placing {
    principal: Principal,
    owner: String,
    request: PlaceOrder,
    digest: Vec<u8>,
    order_id: OrderId,
    saga_id: SagaId,
}

impl Places {
    /// For this engine's sagas; a hold lasts `order_hold` from the moment its order is placed.
    #[must_use]
    pub fn new(engine: Engine, order_hold: Duration) -> Self {
        let turns = engine.pool().options().get_max_connections() / POOL_SHARE;
        let turns = Semaphore::new(usize::try_from(turns).unwrap_or_default().max(1));
        Self { engine, order_hold, turns: Arc::new(turns) }
    }

    /// Places an order. It goes on to its end when the caller goes away: the answer is then found under its key.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place(&self, principal: &Principal, request: PlaceOrder) -> Result<Placed, PlaceError> {
        check(&request)?;
        let body = json!([request.hold_id, request.payment_method, request.email]);
        let placing = Placing {
            principal: principal.clone(),
            owner: principal.key_owner(),
            digest: Sha256::digest(body.to_string().as_bytes()).to_vec(),
            request,
            order_id: OrderId::fresh(),
            saga_id: SagaId::fresh(),
        };
        let this = self.clone();
        spawned::finish(tokio::spawn(async move { this.settle(&placing).await })).await
    }

    /// Places until it is known what became of it: when the answer to COMMIT is lost, the key tells.
    async fn settle(&self, placing: &Placing) -> Result<Placed, PlaceError> {
        // never closed
        let _turn = self.turns.acquire().await;
        let mut pause = PAUSE;
        for _ in 1..TRIES_MAX {
            match self.attempt(placing).await {
                Err(PlaceError::Database(error)) if settles_later(&error) => {
                    tracing::warn!(order.id = %placing.order_id, %error, "Placing an order is tried again: {error}");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                settled => return settled,
            }
        }
        self.attempt(placing).await
    }

    async fn attempt(&self, placing: &Placing) -> Result<Placed, PlaceError> {
        // outside of the transaction: it may need another connection
        let known = self
            .engine
            .catalog()
            .active(BOOK_TICKETS)
            .await?
            .ok_or_else(|| StartError::UnknownDefinition { name: BOOK_TICKETS.to_owned(), version: None })?;

        let mut tx = self.engine.pool().begin().await?;
        if let Some(known) = placing.take_key_in_tx(&mut tx).await? {
            return known;
        }
        let user = placing.principal.user.as_deref();
        let hold =
            bind_to_order_in_tx(&mut tx, placing.request.hold_id, user, placing.order_id, self.order_hold).await?;
        let prepared = Prepared::new(placing.saga_id, placing.start(&hold), &known)?;
        let new = NewOrder { order_id: placing.order_id, saga_id: placing.saga_id, hold };
        if !record_in_tx(&mut tx, &new, placing.request.email.as_deref()).await? {
            return Err(PlaceError::OrderExists);
        }
        match start_in_tx(&mut tx, &prepared).await? {
            Started::New(_) => {
                tx.commit().await?;
                self.engine.hint();
            }
            // a fresh order's key cannot have been used
            Started::Known(saga) | Started::Conflict(saga) => {
                return Err(super::impossible("engine.start_keys", "saga_id", placing.order_id, saga).into());
            }
        }
        Ok(Placed::New(placing.placement()))
    }
}

impl Placing {
    fn placement(&self) -> Placement {
        Placement { order_id: self.order_id, saga_id: self.saga_id, status: OrderStatus::Pending }
    }

    fn start(&self, hold: &BoundHold) -> Start {
        let tags = [
            ("order", self.order_id.to_string()),
            ("user", hold.user_id.clone()),
            ("event", hold.event_id.to_string()),
        ];
        Start {
            definition: BOOK_TICKETS.to_owned(),
            version: None,
            input: json!({ "orderId": self.order_id, "paymentMethod": self.request.payment_method }),
            owner: KEY_OWNER.to_owned(),
            key: self.order_id.to_string(),
            tags: tags.map(|(name, value)| (name.to_owned(), value)).into(),
            starts_at: None,
            priority: 0,
            parent: None,
            by: self.principal.name.clone(),
        }
    }

    /// Takes the key, or says what it was taken for: by an earlier request, by one at this moment (whose end is
    /// waited for), or by this one before its answer was lost.
    async fn take_key_in_tx(&self, tx: &mut PgConnection) -> Result<Option<Result<Placed, PlaceError>>, sqlx::Error> {
        let taken = sqlx::query!(
            "insert into booking.idempotency_keys (owner, key, digest, order_id, saga_id)
             values ($1, $2, $3, $4, $5) on conflict (owner, key) do nothing",
            self.owner,
            self.request.idempotency_key,
            self.digest,
            self.order_id.0,
            self.saga_id.0,
        )
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(None);
        }
        let first = sqlx::query!(
            "select digest, order_id, saga_id from booking.idempotency_keys where owner = $1 and key = $2",
            self.owner,
            self.request.idempotency_key,
        )
        .fetch_one(tx)
        .await?;
        let placement = Placement {
            order_id: OrderId(first.order_id),
            saga_id: SagaId(first.saga_id),
            status: OrderStatus::Pending,
        };
        Ok(Some(if first.digest != self.digest {
            Err(PlaceError::IdempotencyConflict)
        } else if placement.order_id == self.order_id {
            Ok(Placed::New(placement))
        } else {
            Ok(Placed::Replayed(placement))
        }))
    }
}

/// Whether the same again may find out. A pool that is exhausted is not asked again: the caller may come back.
fn settles_later(error: &sqlx::Error) -> bool {
    trouble(error) == Trouble::Passing && !matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
}

/// Refuses what no transaction is worth.
fn check(request: &PlaceOrder) -> Result<(), PlaceError> {
    request.payment_method.check()?;
    let key = &request.idempotency_key;
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX || key.chars().any(char::is_control) {
        return Err(PlaceError::Key);
    }
    match &request.email {
        Some(email) if !is_address(email) => Err(PlaceError::Email),
        _ => Ok(()),
    }
}

/// Whether mail could be sent there: something, an `@`, and something with neither spaces nor control characters.
fn is_address(email: &str) -> bool {
    let printable =
        email.chars().count() <= EMAIL_CHARS_MAX && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    printable && email.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

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
pub async fn record_in_tx(tx: &mut PgConnection, new: &NewOrder, email: Option<&str>) -> Result<bool, sqlx::Error> {
    let NewOrder { order_id, saga_id, hold } = new;
    let placed = sqlx::query_scalar!(
        r#"with placed as (
             insert into booking.orders
                 (order_id, saga_id, hold_id, event_id, user_id, seat_ids, total_minor, currency)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict do nothing
             returning order_id
         ), mailed as (
             insert into booking.order_emails (order_id, email)
             select order_id, $9 from placed where $9::text is not null
         )
         select exists (select from placed) as "placed!""#,
        order_id.0,
        saga_id.0,
        hold.hold_id.0,
        hold.event_id.0,
        hold.user_id,
        &hold.seat_ids,
        hold.total.amount_minor,
        hold.total.currency.code(),
        email,
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(placed || saga_in_tx(tx, *order_id).await? == Some(*saga_id))
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

/// Forgets a batch of keys that are older than `age`.
///
/// # Errors
/// The database's.
pub async fn expire_keys(pool: &PgPool, age: Duration) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from booking.idempotency_keys where (owner, key) in (
             select owner, key from booking.idempotency_keys
             where created_at < now() - make_interval(secs => $1)
             order by created_at limit $2)",
        age.as_secs_f64(),
        EXPIRED_PER_BATCH,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plainly_wrong_is_refused_first() {
        let good = PlaceOrder {
            hold_id: HoldId::fresh(),
            payment_method: PaymentMethod::Token("pm_card_visa".to_owned()),
            idempotency_key: "k".to_owned(),
            email: Some("buyer@example.org".to_owned()),
        };
        assert!(check(&good).is_ok());
        for key in ["", "a\nb", &"x".repeat(256)] {
            let wrong = PlaceOrder { idempotency_key: key.to_owned(), ..good.clone() };
            assert!(matches!(check(&wrong), Err(PlaceError::Key)));
        }
        for email in ["", "@", "a@", "@b", "a b@c", "a@b\n"] {
            let wrong = PlaceOrder { email: Some(email.to_owned()), ..good.clone() };
            assert!(matches!(check(&wrong), Err(PlaceError::Email)), "{email:?}");
        }
        let card = PlaceOrder { payment_method: PaymentMethod::Token("4242424242424242".to_owned()), ..good };
        assert!(matches!(check(&card), Err(PlaceError::PaymentMethod(InvalidPaymentMethod::CardData))));
    }
}
