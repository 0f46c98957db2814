//! What an order does with its hold: makes sure of it, commits it, gives it back. Each joins the
//! caller's transaction, and may run twice. Each tells Redis through the outbox.
//!
//! An order has one hold for ever (a unique index says so). When the order's compensation comes where there is
//! none, a void one takes the place, so that a hold or a commit that comes late is refused.

use super::{
    state::{HoldEvent, HoldState},
    store::{self, Hold},
};
use crate::{
    ids::{EventId, HoldId, OrderId},
    money::Money,
    seats::tell_in_tx,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Uuid};
use std::time::Duration;

/// A hold that is an order's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundHold {
    /// Its id.
    pub hold_id: HoldId,
    /// What the seats are for.
    pub event_id: EventId,
    /// Whose it is.
    pub user_id: String,
    /// The seats.
    pub seat_ids: Vec<String>,
    /// What they cost together.
    pub total: Money,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why an order has no seats.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// No hold was bound to the order.
    #[error("the order has no hold")]
    NoHold,
    /// It was given back, or the order was compensated already.
    #[error("the order's hold was given back")]
    GivenBack,
    /// It was over, and these are somebody else's now.
    #[error("seats of the order are somebody else's: {}", .0.join(", "))]
    Lost(Vec<String>),
    /// These are no seats of the event.
    #[error("no seats of this event: {}", .0.join(", "))]
    UnknownSeats(Vec<String>),
    /// There is no such event.
    #[error("there is no such event")]
    NoSuchEvent,
    /// The database failed.
    #[error("the order's seats could not be held")]
    Database(#[from] sqlx::Error),
}

/// As [`ConfirmError`]: a commit fails as a confirmation does.
pub type CommitError = ConfirmError;

/// Seats for an order that comes without a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrderHold {
    /// The hold's id: always the same for one saga, so that it is made once.
    pub hold_id: HoldId,
    /// Whose.
    pub order_id: OrderId,
    /// What the seats are for.
    pub event_id: EventId,
    /// For whom.
    pub user_id: String,
    /// The seats.
    pub seat_ids: Vec<String>,
}

/// Seats that are sold to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedHold {
    /// What the seats are for.
    pub event_id: EventId,
    /// The hold that they were sold from.
    pub hold_id: HoldId,
    /// Whose they are.
    pub user_id: String,
    /// The seats.
    pub seat_ids: Vec<String>,
}

/// What a compensation gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The seats that are free now and were the order's before; none when it runs again.
    pub seat_ids: Vec<String>,
}

/// Makes sure that an order's hold lasts until `needed_until`, and extends it where it does not. One that is over is
/// taken again for `lasts` from now, if nobody else has the seats.
///
/// # Errors
/// [`ConfirmError`]; nothing is changed then.
pub async fn confirm_in_tx(
    tx: &mut PgConnection,
    order_id: OrderId,
    lasts: Duration,
    needed_until: DateTime<Utc>,
) -> Result<BoundHold, ConfirmError> {
    let hold = store::lock_hold_of_order(&mut *tx, order_id).await?.ok_or(ConfirmError::NoHold)?;
    match hold.state {
        HoldState::Committed => return Ok(bound(hold)),
        HoldState::Ordered if !hold.over && hold.expires_at >= needed_until => return Ok(bound(hold)),
        HoldState::Ordered | HoldState::Expired => {}
        HoldState::Released | HoldState::Void | HoldState::Active => return Err(ConfirmError::GivenBack),
    }
    let state = hold.after(HoldEvent::Confirmed)?;
    lock_all(&mut *tx, &hold).await?;
    let expires_at = sqlx::query_scalar!(
        "update booking.holds
         set state = $2, changed_at = now(),
             expires_at = case when expires_at <= now() then greatest($4, now() + make_interval(secs => $3)) else $4 end
         where hold_id = $1
         returning expires_at",
        hold.hold_id.0,
        state.as_str(),
        lasts.as_secs_f64(),
        needed_until,
    )
    .fetch_one(&mut *tx)
    .await?;
    store::hold_seats(&mut *tx, hold.event_id, &hold.seat_ids, hold.hold_id, expires_at).await?;
    tell_in_tx(&mut *tx, hold.event_id, &hold.seat_ids).await?;
    Ok(bound(Hold { expires_at, ..hold }))
}

/// Makes the hold of an order that comes with seats instead of one. Again: as [`confirm_in_tx`].
///
/// # Errors
/// [`ConfirmError`]; roll back then.
pub async fn hold_for_order_in_tx(
    tx: &mut PgConnection,
    new: &NewOrderHold,
    lasts: Duration,
    needed_until: DateTime<Utc>,
) -> Result<BoundHold, ConfirmError> {
    let currency = sqlx::query_scalar!("select currency from booking.events where event_id = $1", new.event_id.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(ConfirmError::NoSuchEvent)?;
    let mut seat_ids = new.seat_ids.clone();
    seat_ids.sort();
    seat_ids.dedup();
    // first, so that a compensation at the same time waits here for us, or we for it
    let made = sqlx::query_scalar!(
        "insert into booking.holds
             (hold_id, event_id, user_id, hold_token, seat_ids, total_minor, currency, state, expires_at, order_id)
         values ($1, $2, $3, $4, $5, 0, $6, 'ordered', greatest($9, now() + make_interval(secs => $7)), $8)
         on conflict (order_id) where order_id is not null do nothing
         returning expires_at",
        new.hold_id.0,
        new.event_id.0,
        new.user_id,
        new.hold_id.to_string(),
        &seat_ids,
        currency,
        lasts.as_secs_f64(),
        new.order_id.0,
        needed_until,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(expires_at) = made else {
        return confirm_in_tx(tx, new.order_id, lasts, needed_until).await;
    };
    let hold = store::lock_hold(&mut *tx, new.hold_id).await?.ok_or(ConfirmError::NoHold)?;
    let prices = lock_all(&mut *tx, &hold).await?;
    sqlx::query!("update booking.holds set total_minor = $2 where hold_id = $1", hold.hold_id.0, prices)
        .execute(&mut *tx)
        .await?;
    store::hold_seats(&mut *tx, hold.event_id, &hold.seat_ids, hold.hold_id, expires_at).await?;
    tell_in_tx(&mut *tx, hold.event_id, &hold.seat_ids).await?;
    let total = Money::new(prices, hold.total.currency);
    Ok(bound(Hold { total, ..hold }))
}

/// Sells an order its seats. The hold is checked here, in the transaction that commits it: one that is over
/// counts for as long as nobody else has a seat of it.
///
/// # Errors
/// [`CommitError`]; nothing is changed then.
pub async fn commit_in_tx(tx: &mut PgConnection, order_id: OrderId) -> Result<CommittedHold, CommitError> {
    let hold = store::lock_hold_of_order(&mut *tx, order_id).await?.ok_or(CommitError::NoHold)?;
    match hold.state {
        HoldState::Committed => return Ok(committed(hold)),
        HoldState::Ordered | HoldState::Expired => {}
        HoldState::Released | HoldState::Void | HoldState::Active => return Err(CommitError::GivenBack),
    }
    let state = hold.after(HoldEvent::OrderPaid)?;
    lock_all(&mut *tx, &hold).await?;
    sqlx::query!(
        "update booking.seats set hold_id = $3, held_until = null, order_id = $4, version = version + 1
         where event_id = $1 and seat_id = any($2)",
        hold.event_id.0,
        &hold.seat_ids,
        hold.hold_id.0,
        order_id.0,
    )
    .execute(&mut *tx)
    .await?;
    store::set_state(&mut *tx, hold.hold_id, state).await?;
    tell_in_tx(&mut *tx, hold.event_id, &hold.seat_ids).await?;
    Ok(committed(hold))
}

/// Gives back whatever an order has of seats. Where it has no hold, and never had, it cannot get one later.
///
/// # Errors
/// The database's.
pub async fn release_order_in_tx(tx: &mut PgConnection, order_id: OrderId) -> Result<Released, sqlx::Error> {
    let nothing = Released { seat_ids: Vec::new() };
    sqlx::query!(
        "insert into booking.holds
             (hold_id, event_id, user_id, hold_token, seat_ids, total_minor, currency, state, expires_at, order_id)
         values ($1, $2, '', '', '{}', 0, 'EUR', 'void', now(), $3)
         on conflict (order_id) where order_id is not null do nothing",
        HoldId::fresh().0,
        Uuid::nil(),
        order_id.0,
    )
    .execute(&mut *tx)
    .await?;
    let Some(hold) = store::lock_hold_of_order(&mut *tx, order_id).await? else {
        return Ok(nothing);
    };
    if matches!(hold.state, HoldState::Released | HoldState::Void) {
        return Ok(nothing);
    }
    let state = hold.after(HoldEvent::GivenBack)?;
    let seat_ids = if hold.state == HoldState::Committed {
        store::free_sold(&mut *tx, hold.event_id, &hold.seat_ids, order_id).await?
    } else {
        let freed = store::free_held(&mut *tx, hold.event_id, &hold.seat_ids, hold.hold_id).await?;
        freed.into_iter().map(|seat| seat.seat_id).collect()
    };
    store::set_state(&mut *tx, hold.hold_id, state).await?;
    tell_in_tx(&mut *tx, hold.event_id, &seat_ids).await?;
    Ok(Released { seat_ids })
}

/// Takes sold seats back from an order whose money went back: they can be sold again. Answers those that were
/// the order's until now; none when it runs again.
///
/// # Errors
/// The database's.
pub async fn return_seats_in_tx(
    tx: &mut PgConnection,
    order_id: OrderId,
    seat_ids: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let Some(hold) = store::lock_hold_of_order(&mut *tx, order_id).await? else {
        return Ok(Vec::new());
    };
    if hold.state != HoldState::Committed {
        return Ok(Vec::new());
    }
    let freed = store::free_sold(&mut *tx, hold.event_id, seat_ids, order_id).await?;
    if freed.is_empty() {
        return Ok(freed);
    }
    let all = hold.returned_seat_ids.len() + freed.len() == hold.seat_ids.len();
    let state = hold.after(if all { HoldEvent::AllReturned } else { HoldEvent::SomeReturned })?;
    sqlx::query!(
        "update booking.holds
         set state = $2, returned_seat_ids = returned_seat_ids || $3::text[], changed_at = now()
         where hold_id = $1",
        hold.hold_id.0,
        state.as_str(),
        &freed,
    )
    .execute(&mut *tx)
    .await?;
    tell_in_tx(&mut *tx, hold.event_id, &freed).await?;
    Ok(freed)
}

/// Locks all the seats of a hold, and answers what they cost together.
async fn lock_all(tx: &mut PgConnection, hold: &Hold) -> Result<i64, ConfirmError> {
    let takeable = store::lock_takeable(&mut *tx, hold.event_id, &hold.seat_ids, hold.hold_id).await?;
    if takeable.len() == hold.seat_ids.len() {
        // at most 50 prices of at most 10^12
        return Ok(takeable.iter().map(|seat| seat.price_minor).sum());
    }
    let known = crate::seats::known(&mut *tx, hold.event_id, &hold.seat_ids).await?;
    let unknown: Vec<String> = hold.seat_ids.iter().filter(|seat| !known.contains(*seat)).cloned().collect();
    if !unknown.is_empty() {
        return Err(ConfirmError::UnknownSeats(unknown));
    }
    let lost = |seat: &&String| takeable.iter().all(|takeable| takeable.seat_id != **seat);
    Err(ConfirmError::Lost(hold.seat_ids.iter().filter(lost).cloned().collect()))
}

fn bound(hold: Hold) -> BoundHold {
    BoundHold {
        hold_id: hold.hold_id,
        event_id: hold.event_id,
        user_id: hold.user_id,
        seat_ids: hold.seat_ids,
        total: hold.total,
        expires_at: hold.expires_at,
    }
}

fn committed(hold: Hold) -> CommittedHold {
    CommittedHold { event_id: hold.event_id, hold_id: hold.hold_id, user_id: hold.user_id, seat_ids: hold.seat_ids }
}
