//! Placing an order: in one transaction the key is taken, the hold is bound and extended, the order is written
//! and its saga started. All of it, or nothing. Requests that come together share the transaction, and each is
//! answered by itself.

mod batch;
mod decide;
pub(crate) mod keys;

pub use keys::expire_keys;

use super::{BOOK_TICKETS, InvalidPaymentMethod, KEY_OWNER, OrderStatus, PaymentMethod};
use crate::{
    access::Principal,
    holds::{BindError, Hold},
    ids::{HoldId, OrderId},
};
use batch::{Placements, Ready};
use keys::{Key, Taken};
use orchestrator::{
    Engine, Postgres,
    group_commit::{CommitError, GroupCommit},
    ids::SagaId,
    start::{Start, StartError},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest idempotency key.
const KEY_CHARS_MAX: usize = 255;
/// The longest e-mail address (RFC 5321).
const EMAIL_CHARS_MAX: usize = 254;

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
    /// It was not committed.
    #[error("committing the order")]
    Commit(#[from] CommitError),
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

/// Places orders: all that come at the same time in one transaction.
#[derive(Clone)]
pub struct Places {
    engine: Engine,
    commits: GroupCommit<Placements>,
}

/// A request with everything that must be the same when it is settled again.
#[derive(Debug, Clone)]
pub(super) struct Placing {
    principal: Principal,
    owner: String,
    pub(super) request: PlaceOrder,
    digest: Vec<u8>,
    pub(super) order_id: OrderId,
    pub(super) saga_id: SagaId,
    /// The trace that asks for it.
    pub(super) trace: Option<String>,
}

impl Places {
    /// For this engine's sagas; a hold lasts `order_hold` from the moment its order is placed. Call it inside a
    /// Tokio runtime.
    #[must_use]
    pub fn new(engine: Engine, order_hold: Duration) -> Self {
        let placements = Placements { engine: engine.clone(), order_hold };
        Self { commits: GroupCommit::start(Postgres::new(engine.pool().clone()), placements), engine }
    }

    /// Places an order. What has begun goes on to its end when the caller goes away: the answer is then found under
    /// its key.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place(&self, principal: &Principal, request: PlaceOrder) -> Result<Placed, PlaceError> {
        check(&request)?;
        // outside of the transaction: it may need another connection
        let known = self
            .engine
            .catalog()
            .active(BOOK_TICKETS)
            .await?
            .ok_or_else(|| StartError::UnknownDefinition { name: BOOK_TICKETS.to_owned(), version: None })?;
        let placing = Placing { trace: self.engine.traces().current(), ..Placing::new(principal, request) };
        let mistakes = known.check_input(&placing.input());
        if !mistakes.is_empty() {
            return Err(StartError::InvalidInput(mistakes).into());
        }
        self.commits.submit(Ready { placing, known }).await?
    }
}

impl Placing {
    fn new(principal: &Principal, request: PlaceOrder) -> Self {
        let body = json!([request.hold_id, request.payment_method, request.email]);
        Self {
            principal: principal.clone(),
            owner: principal.key_owner(),
            digest: keys::digest(&body),
            request,
            order_id: OrderId::fresh(),
            saga_id: SagaId::fresh(),
            trace: None,
        }
    }

    fn key(&self) -> Key<'_> {
        (&self.owner, &self.request.idempotency_key)
    }

    fn taken(&self) -> Taken {
        Taken { digest: self.digest.clone(), order_id: self.order_id, saga_id: self.saga_id }
    }

    fn placement(&self) -> Placement {
        Placement { order_id: self.order_id, saga_id: self.saga_id, status: OrderStatus::Pending }
    }

    /// What it is told when its key is used up: by itself, before its answer was lost, or by an earlier request.
    fn answer_of(&self, first: &Taken) -> Result<Placed, PlaceError> {
        let Taken { digest, order_id, saga_id } = first;
        let placement = Placement { order_id: *order_id, saga_id: *saga_id, status: OrderStatus::Pending };
        if *digest != self.digest {
            Err(PlaceError::IdempotencyConflict)
        } else if *order_id == self.order_id {
            Ok(Placed::New(placement))
        } else {
            Ok(Placed::Replayed(placement))
        }
    }

    fn input(&self) -> Value {
        json!({ "orderId": self.order_id, "paymentMethod": self.request.payment_method })
    }

    fn start(&self, hold: &Hold) -> Start {
        let tags = [
            ("order", self.order_id.to_string()),
            ("user", hold.user_id.clone()),
            ("event", hold.event_id.to_string()),
        ];
        Start {
            definition: BOOK_TICKETS.to_owned(),
            version: None,
            input: self.input(),
            owner: KEY_OWNER.to_owned(),
            key: self.order_id.to_string(),
            tags: tags.map(|(name, value)| (name.to_owned(), value)).into(),
            starts_at: None,
            priority: 0,
            parent: None,
            by: self.principal.name.clone(),
        }
    }
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
