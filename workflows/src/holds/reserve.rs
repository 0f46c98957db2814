//! A buyer asks for seats. Redis first, where losers are answered; then one transaction, which is the truth.

mod attempt;
mod best;

use super::{Holds, store::Hold};
use crate::{
    events::Mistake,
    ids::{EventId, OrderId},
    seats::warm,
};
use attempt::Outcome;
use std::{collections::BTreeSet, sync::PoisonError};

/// The most seats of one hold.
pub const SEATS_PER_HOLD_MAX: usize = 50;
/// The longest token or user id, in characters.
const NAME_CHARS_MAX: usize = 200;
/// How often one request is tried again because another with the same token came between.
const TOKEN_RACES_MAX: usize = 5;

/// What a buyer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// What the seats are for.
    pub event_id: EventId,
    /// For whom.
    pub user_id: String,
    /// Which.
    pub wish: Wish,
    /// The client's own choice, or one that it got earlier.
    pub hold_token: Option<String>,
}

/// Which seats a buyer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// These.
    Seats(Vec<String>),
    /// The best there are.
    BestAvailable {
        /// How many.
        count: usize,
        /// In this section, by its name or slug.
        section: Option<String>,
    },
}

/// A hold, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It was made.
    New(Hold),
    /// It was there already, with these seats.
    Same(Hold),
    /// It was there already, and has these seats now.
    Changed(Hold),
}

impl Reserved {
    /// The hold.
    #[must_use]
    pub fn hold(&self) -> &Hold {
        match self {
            Self::New(hold) | Self::Same(hold) | Self::Changed(hold) => hold,
        }
    }
}

/// Why a buyer has no hold. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// There is no such event.
    #[error("there is no event {0}")]
    NoSuchEvent(EventId),
    /// The event has no such section.
    #[error("the event has no section `{0}`")]
    NoSuchSection(String),
    /// These are no seats of the event.
    #[error("no seats of this event: {}", .0.join(", "))]
    UnknownSeats(Vec<String>),
    /// The request cannot be right; every mistake.
    #[error("the request has {} mistakes", .0.len())]
    Invalid(Vec<Mistake>),
    /// The sale has not begun, or is over.
    #[error("the event is not on sale now")]
    NotOnSale,
    /// The token is another user's.
    #[error("there is no such hold")]
    NotFound,
    /// An order was placed with this token.
    #[error("the hold has the order {0}")]
    OrderExists(OrderId),
    /// Somebody else has these. None are named when there are not as many as were asked for.
    #[error("seats are not available: {}", .0.join(", "))]
    SeatsUnavailable(Vec<String>),
    /// Many requests with the same token at the same time.
    #[error("the hold is being changed by other requests")]
    Busy,
    /// The database failed.
    #[error("the seats could not be held")]
    Database(#[from] sqlx::Error),
}

impl Reserve {
    /// What is wrong with it, whatever the event; seats in one order and each once.
    fn check(mut self) -> Result<Self, ReserveError> {
        let mut mistakes = Vec::new();
        let bad = |text: &str| text.is_empty() || text.chars().count() > NAME_CHARS_MAX || text.contains('\0');
        if bad(&self.user_id) {
            mistakes.push(Mistake::new("/userId", format!("between 1 and {NAME_CHARS_MAX} characters")));
        }
        if self.hold_token.as_deref().is_some_and(bad) {
            mistakes.push(Mistake::new("/holdToken", format!("between 1 and {NAME_CHARS_MAX} characters")));
        }
        let (count, pointer) = match &mut self.wish {
            Wish::Seats(seats) => {
                if seats.iter().any(|seat| bad(seat)) {
                    mistakes.push(Mistake::new("/seatIds", "not seat ids"));
                }
                seats.sort();
                seats.dedup();
                (seats.len(), "/seatIds")
            }
            Wish::BestAvailable { count, .. } => (*count, "/bestAvailable/count"),
        };
        if !(1..=SEATS_PER_HOLD_MAX).contains(&count) {
            mistakes.push(Mistake::new(pointer, format!("between 1 and {SEATS_PER_HOLD_MAX} seats")));
        }
        if mistakes.is_empty() { Ok(self) } else { Err(ReserveError::Invalid(mistakes)) }
    }
}

impl Holds {
    /// Holds seats for a buyer: all or none.
    ///
    /// # Errors
    /// [`ReserveError`].
    pub async fn reserve(&self, request: Reserve) -> Result<Reserved, ReserveError> {
        let request = request.check()?;
        let holds = self.clone();
        // in a task of its own: a client that hangs up must not drop a transaction while it begins
        let reserved = async move {
            for _ in 0..TOKEN_RACES_MAX {
                let outcome = match &request.wish {
                    Wish::Seats(seats) => holds.hold_these(&request, seats).await?,
                    Wish::BestAvailable { count, section } => {
                        holds.hold_best(&request, *count, section.as_deref()).await?
                    }
                };
                metrics::counter!("showrunner_reserves_total", "outcome" => outcome.name()).increment(1);
                match outcome {
                    Outcome::Reserved(reserved) => return Ok(reserved),
                    Outcome::Unavailable(seats) => return Err(ReserveError::SeatsUnavailable(seats)),
                    Outcome::TokenRaced => {}
                }
            }
            Err(ReserveError::Busy)
        };
        crate::spawned::run(reserved).await
    }

    /// What the request's token names already.
    async fn known_hold(&self, request: &Reserve) -> Result<Option<Hold>, ReserveError> {
        let Some(token) = &request.hold_token else {
            return Ok(None);
        };
        let known = super::store::find_hold_by_token(&self.pool, request.event_id, token).await?;
        usable(known, &request.user_id)
    }

    /// Tells Redis of an event's seats behind the back of whoever found that it knows nothing.
    fn warm_behind(&self, event: EventId) {
        if !self.warming.lock().unwrap_or_else(PoisonError::into_inner).insert(event) {
            return;
        }
        let holds = self.clone();
        tokio::spawn(async move {
            if let Err(error) = warm(&holds.pool, &holds.cache, event).await {
                tracing::warn!(event.id = %event, error = %error, "Redis could not be told of the seats of {event}");
            }
            let mut warming: std::sync::MutexGuard<'_, BTreeSet<EventId>> =
                holds.warming.lock().unwrap_or_else(PoisonError::into_inner);
            warming.remove(&event);
        });
    }
}

/// A hold that its token's owner may change: none when it is over.
fn usable(known: Option<Hold>, user: &str) -> Result<Option<Hold>, ReserveError> {
    match known {
        Some(hold) if hold.user_id != user && (hold.order_id.is_some() || !hold.over) => Err(ReserveError::NotFound),
        Some(Hold { order_id: Some(order), .. }) => Err(ReserveError::OrderExists(order)),
        known => Ok(known.filter(|hold| !hold.over)),
    }
}
