//! Orders take holds over: those of a batch of orders at once.
//!
//! The holds are locked with their seats, each order asks its hold in turn, and what they were given is written.

use super::{
    state::{HoldEvent, HoldState},
    store::{self, Hold, SeatColumns},
};
use crate::{
    ids::{EventId, HoldId, OrderId},
    seats::tell_all_in_tx,
};
use sqlx::PgConnection;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// Why an order cannot have a hold.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// There is none with this id, or it is another user's.
    #[error("there is no such hold")]
    NotFound,
    /// It was released, or its time is over.
    #[error("the hold is over")]
    Expired,
    /// It has another order.
    #[error("the hold has the order {0}")]
    OrderExists(OrderId),
    /// Its row is not what it can be.
    #[error("the hold could not be bound to the order")]
    Database(#[from] sqlx::Error),
}

/// A hold that an order may ask for, locked with its seats.
#[derive(Debug, Clone)]
pub struct Bindable {
    hold: Hold,
    /// Somebody with a later clock may have found it over and taken a seat of it.
    has_its_seats: bool,
}

impl Bindable {
    /// The hold as it stands.
    #[must_use]
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Gives the hold to an order. `user`: whose it must be, where the caller acts for one user alone.
    ///
    /// # Errors
    /// [`BindError`]; it stays as it is then.
    pub fn bind(&mut self, order_id: OrderId, user: Option<&str>) -> Result<(), BindError> {
        let hold = &self.hold;
        if hold.state == HoldState::Void || user.is_some_and(|user| user != hold.user_id) {
            return Err(BindError::NotFound);
        }
        if let Some(order) = hold.order_id {
            return Err(BindError::OrderExists(order));
        }
        if hold.over || hold.state != HoldState::Active || !self.has_its_seats {
            return Err(BindError::Expired);
        }
        self.hold.state = hold.after(HoldEvent::OrderPlaced)?;
        self.hold.order_id = Some(order_id);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(hold: Hold) -> Self {
        Self { hold, has_its_seats: true }
    }
}

/// Locks these holds, as far as they exist, and their seats.
///
/// # Errors
/// The database's.
pub async fn lock_bindable_in_tx(
    tx: &mut PgConnection,
    holds: &[HoldId],
) -> Result<HashMap<HoldId, Bindable>, sqlx::Error> {
    if holds.is_empty() {
        return Ok(HashMap::new());
    }
    let holds = store::lock_holds(&mut *tx, holds).await?;
    let own = count_own_seats(tx, &holds).await?;
    let bindable = holds.into_iter().map(|hold| {
        let has_its_seats = own.get(&hold.hold_id) == Some(&hold.seat_ids.len());
        (hold.hold_id, Bindable { hold, has_its_seats })
    });
    Ok(bindable.collect())
}

/// Locks the seats that are still these holds', and counts them.
async fn count_own_seats(tx: &mut PgConnection, holds: &[Hold]) -> Result<HashMap<HoldId, usize>, sqlx::Error> {
    let SeatColumns { events, seats, holds } = seats_of(holds);
    let rows = sqlx::query_scalar!(
        r#"select wanted.hold_id as "hold_id!"
           from unnest($1::uuid[], $2::text[], $3::uuid[]) as wanted (event_id, seat_id, hold_id)
           join booking.seats s on s.event_id = wanted.event_id and s.seat_id = wanted.seat_id
               and s.hold_id = wanted.hold_id and s.order_id is null
           order by s.event_id, s.seat_id
           for update of s"#,
        &events,
        &seats,
        &holds,
    )
    .fetch_all(tx)
    .await?;
    let mut own = HashMap::new();
    for hold in rows {
        *own.entry(HoldId(hold)).or_default() += 1;
    }
    Ok(own)
}

/// Writes what [`Bindable::bind`] has given to orders; from now on these holds last `lasts`.
///
/// # Errors
/// The database's.
pub async fn bind_in_tx(tx: &mut PgConnection, bound: &[&Bindable], lasts: Duration) -> Result<(), sqlx::Error> {
    let holds: Vec<_> = bound.iter().map(|bound| &bound.hold).collect();
    let orders: Vec<_> = holds.iter().filter_map(|hold| hold.order_id).map(|order| order.0).collect();
    sqlx::query!(
        "update booking.holds h
         set state = bound.state, order_id = bound.order_id, expires_at = now() + make_interval(secs => $4),
             changed_at = now()
         from unnest($1::uuid[], $2::text[], $3::uuid[]) as bound (hold_id, state, order_id)
         where h.hold_id = bound.hold_id",
        &holds.iter().map(|hold| hold.hold_id.0).collect::<Vec<_>>(),
        &holds.iter().map(|hold| hold.state.as_str().to_owned()).collect::<Vec<_>>(),
        &orders,
        lasts.as_secs_f64(),
    )
    .execute(&mut *tx)
    .await?;
    let seats = seats_of(holds.iter().copied());
    sqlx::query!(
        "update booking.seats s
         -- the same time as the hold's: it is that of the transaction
         set held_until = now() + make_interval(secs => $3), version = version + 1
         from unnest($1::uuid[], $2::text[]) as own (event_id, seat_id)
         where s.event_id = own.event_id and s.seat_id = own.seat_id",
        &seats.events,
        &seats.seats,
        lasts.as_secs_f64(),
    )
    .execute(&mut *tx)
    .await?;
    let mut changed: BTreeMap<EventId, Vec<String>> = BTreeMap::new();
    for hold in holds {
        changed.entry(hold.event_id).or_default().extend_from_slice(&hold.seat_ids);
    }
    tell_all_in_tx(tx, changed).await
}

fn seats_of<'a>(holds: impl IntoIterator<Item = &'a Hold>) -> SeatColumns {
    SeatColumns::of(holds.into_iter().map(|hold| (hold.hold_id.0, hold.event_id.0, hold.seat_ids.as_slice())))
}
