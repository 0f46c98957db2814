//! One attempt to hold certain seats.

use super::{Reserve, ReserveError, Reserved, usable};
use crate::{
    holds::{
        Holds,
        state::{HoldEvent, HoldState},
        store::{self, Hold},
    },
    ids::{EventId, HoldId},
    money::Money,
    seat_cache::{SeatState, Take, Taken},
    seats::{known, tell_in_tx},
};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// What came of it.
pub(super) enum Outcome {
    /// The buyer has a hold.
    Reserved(Reserved),
    /// Somebody else has these.
    Unavailable(Vec<String>),
    /// Another request with the same token came between: look again.
    TokenRaced,
}

impl Outcome {
    /// As a metric's label.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Reserved(_) => "reserved",
            Self::Unavailable(_) => "unavailable",
            Self::TokenRaced => "raced",
        }
    }
}

/// What a transaction has done, and what Redis has to know of it.
pub(super) struct Done {
    pub(super) reserved: Reserved,
    states: Vec<SeatState>,
}

/// Why a transaction is rolled back.
pub(super) enum Undone {
    Unavailable(Vec<String>),
    TokenRaced,
    Failed(ReserveError),
}

impl<E: Into<ReserveError>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Holds {
    /// Holds exactly these seats. They are sorted.
    pub(super) async fn hold_these(&self, request: &Reserve, seats: &[String]) -> Result<Outcome, ReserveError> {
        let known = self.known_hold(request).await?;
        if let Some(hold) = known.as_ref().filter(|hold| hold.seat_ids == seats) {
            return Ok(Outcome::Reserved(Reserved::Same(hold.clone())));
        }
        let hold_id = known.map_or_else(HoldId::fresh, |hold| hold.hold_id);
        let event = request.event_id;
        let taken_in_cache = match self.cache.take(event, hold_id, seats).await {
            Ok(Take { taken, cold }) => {
                if cold {
                    self.warm_behind(event);
                }
                if let Taken::Unavailable(seats) = taken {
                    return Ok(Outcome::Unavailable(seats));
                }
                true
            }
            Err(error) => {
                tracing::debug!(event.id = %event, error = %error, "seats of {event} are held without Redis");
                // what Redis does otherwise: losers are answered without a lock
                let taken = taken_by_others(&self.pool, event, hold_id, seats).await?;
                if !taken.is_empty() {
                    return Ok(Outcome::Unavailable(taken));
                }
                false
            }
        };
        let done = self.hold_in_one_transaction(request, seats, hold_id).await;
        match &done {
            Ok(done) => self.tell_cache(event, done).await,
            // these end by themselves, too
            Err(_) if taken_in_cache => drop(self.cache.let_go(event, hold_id, seats).await),
            Err(_) => {}
        }
        match done {
            Ok(done) => Ok(Outcome::Reserved(done.reserved)),
            Err(Undone::Unavailable(seats)) => Ok(Outcome::Unavailable(seats)),
            Err(Undone::TokenRaced) => Ok(Outcome::TokenRaced),
            Err(Undone::Failed(error)) => Err(error),
        }
    }

    /// Tells Redis what was committed. When that is lost nothing is: its keys end by themselves.
    pub(super) async fn tell_cache(&self, event: EventId, done: &Done) {
        if let Err(error) = self.cache.mirror(event, &done.states).await {
            tracing::debug!(event.id = %event, error = %error, "Redis was not told of seats of {event}");
        }
    }

    async fn hold_in_one_transaction(
        &self,
        request: &Reserve,
        seats: &[String],
        hold_id: HoldId,
    ) -> Result<Done, Undone> {
        let mut tx = self.pool.begin().await?;
        match hold_in_tx(&mut tx, request, seats, hold_id, self.hold_ttl).await {
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(undone) => {
                // the answer is the first error, whatever becomes of the connection
                drop(tx.rollback().await);
                Err(undone)
            }
        }
    }
}

pub(super) async fn hold_in_tx(
    tx: &mut PgConnection,
    request: &Reserve,
    seats: &[String],
    hold_id: HoldId,
    ttl: Duration,
) -> Result<Done, Undone> {
    let event = request.event_id;
    let currency = require_on_sale(&mut *tx, event).await?;
    let mut known_hold = None;
    if let Some(token) = &request.hold_token {
        let found = store::lock_hold_by_token(&mut *tx, event, token).await?;
        if let Some(over) = found.as_ref().filter(|hold| hold.over && hold.order_id.is_none()) {
            // its token is free again
            store::set_state(&mut *tx, over.hold_id, over.after(HoldEvent::TimeOver)?).await?;
            let freed = store::free_held(&mut *tx, event, &over.seat_ids, over.hold_id).await?;
            let freed: Vec<String> = freed.into_iter().map(|seat| seat.seat_id).collect();
            tell_in_tx(&mut *tx, event, &freed).await?;
        }
        known_hold = usable(found, &request.user_id)?;
        if known_hold.as_ref().is_some_and(|hold| hold.hold_id != hold_id) {
            return Err(Undone::TokenRaced);
        }
    }
    let takeable = store::lock_takeable(&mut *tx, event, seats, hold_id).await?;
    if takeable.len() != seats.len() {
        let known = known(&mut *tx, event, seats).await?;
        let unknown: Vec<String> = seats.iter().filter(|seat| !known.contains(*seat)).cloned().collect();
        if !unknown.is_empty() {
            return Err(ReserveError::UnknownSeats(unknown).into());
        }
        let taken = seats.iter().filter(|seat| takeable.iter().all(|takeable| takeable.seat_id != **seat));
        return Err(Undone::Unavailable(taken.cloned().collect()));
    }
    // at most 50 prices of at most 10^12
    let total_minor: i64 = takeable.iter().map(|seat| seat.price_minor).sum();
    match known_hold {
        Some(hold) => change(tx, hold, seats, total_minor).await,
        None => {
            let currency = crate::money::currency_from_code(&currency)
                .map_err(|error| sqlx::Error::Decode(format!("booking.events.currency of {event}: {error}").into()))?;
            make(tx, request, seats, hold_id, Money::new(total_minor, currency), ttl).await
        }
    }
}

/// The event's currency, if it is on sale by the database's clock.
pub(super) async fn require_on_sale(tx: &mut PgConnection, event: EventId) -> Result<String, ReserveError> {
    let terms = sqlx::query!(
        r#"select currency,
             (sales_start is null or sales_start <= now()) and (sales_end is null or now() < sales_end) as "on_sale!"
           from booking.events where event_id = $1"#,
        event.0,
    )
    .fetch_optional(tx)
    .await?
    .ok_or(ReserveError::NoSuchEvent(event))?;
    if terms.on_sale { Ok(terms.currency) } else { Err(ReserveError::NotOnSale) }
}

async fn make(
    tx: &mut PgConnection,
    request: &Reserve,
    seats: &[String],
    hold_id: HoldId,
    total: Money,
    ttl: Duration,
) -> Result<Done, Undone> {
    let hold_token = request.hold_token.clone().unwrap_or_else(fresh_token);
    let state = HoldState::Active;
    let expires_at = sqlx::query_scalar!(
        "insert into booking.holds
             (hold_id, event_id, user_id, hold_token, seat_ids, total_minor, currency, state, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9))
         on conflict (event_id, hold_token) where state = 'active' or (order_id is not null and state <> 'void')
         do nothing
         returning expires_at",
        hold_id.0,
        request.event_id.0,
        request.user_id,
        hold_token,
        seats,
        total.amount_minor,
        total.currency.code(),
        state.as_str(),
        ttl.as_secs_f64(),
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Undone::TokenRaced)?;
    let states = store::hold_seats(tx, request.event_id, seats, hold_id, expires_at).await?;
    let hold = Hold {
        hold_id,
        event_id: request.event_id,
        user_id: request.user_id.clone(),
        hold_token,
        seat_ids: seats.to_vec(),
        returned_seat_ids: Vec::new(),
        total,
        state,
        expires_at,
        over: false,
        order_id: None,
    };
    Ok(Done { reserved: Reserved::New(hold), states })
}

/// Gives a locked hold other seats, which are locked too. Its end stays where it is.
async fn change(tx: &mut PgConnection, hold: Hold, seats: &[String], total_minor: i64) -> Result<Done, Undone> {
    let state = hold.after(HoldEvent::SeatsChanged)?;
    sqlx::query!(
        "update booking.holds set state = $2, seat_ids = $3, total_minor = $4, changed_at = now() where hold_id = $1",
        hold.hold_id.0,
        state.as_str(),
        seats,
        total_minor,
    )
    .execute(&mut *tx)
    .await?;
    let dropped: Vec<String> = hold.seat_ids.iter().filter(|seat| !seats.contains(seat)).cloned().collect();
    let mut states = store::free_held(&mut *tx, hold.event_id, &dropped, hold.hold_id).await?;
    tell_in_tx(&mut *tx, hold.event_id, &dropped).await?;
    states.extend(store::hold_seats(tx, hold.event_id, seats, hold.hold_id, hold.expires_at).await?);
    let total = Money::new(total_minor, hold.total.currency);
    let hold = Hold { seat_ids: seats.to_vec(), total, state, ..hold };
    Ok(Done { reserved: Reserved::Changed(hold), states })
}

/// Those of the seats that are somebody else's now, without locking any.
async fn taken_by_others(
    pool: &PgPool,
    event: EventId,
    hold: HoldId,
    seats: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select seat_id from booking.seats
         where event_id = $1 and seat_id = any($2)
             and (order_id is not null or (hold_id <> $3 and held_until > now()))
         order by seat_id",
        event.0,
        seats,
        hold.0,
    )
    .fetch_all(pool)
    .await
}

/// A token that nobody guesses.
fn fresh_token() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
