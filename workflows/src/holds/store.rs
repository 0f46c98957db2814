//! Holds and seats in Postgres: what several moves of a hold have in common.

use super::state::{HoldEvent, HoldState};
use crate::{
    ids::{EventId, HoldId, OrderId},
    money::{Money, currency_from_code},
    seat_cache::{SeatState, Standing},
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Uuid};

/// Seats that one buyer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub hold_id: HoldId,
    /// What the seats are for.
    pub event_id: EventId,
    /// Whose it is.
    pub user_id: String,
    /// By which the buyer finds it again.
    pub hold_token: String,
    /// The seats.
    pub seat_ids: Vec<String>,
    /// Those that came back after they were sold.
    pub returned_seat_ids: Vec<String>,
    /// What they cost together.
    pub total: Money,
    /// Where it stands.
    pub state: HoldState,
    /// When it ends, or ended.
    pub expires_at: DateTime<Utc>,
    /// Whether it has ended by the database's clock.
    pub over: bool,
    /// The order that was placed with it.
    pub order_id: Option<OrderId>,
}

/// The seats of holds, as columns for `unnest`.
#[derive(Default)]
pub(super) struct SeatColumns {
    pub(super) events: Vec<Uuid>,
    pub(super) seats: Vec<String>,
    pub(super) holds: Vec<Uuid>,
}

impl SeatColumns {
    /// A row for each seat of each hold: the hold, its event, its seats.
    pub(super) fn of<'a>(holds: impl IntoIterator<Item = (Uuid, Uuid, &'a [String])>) -> Self {
        let mut columns = Self::default();
        for (hold, event, seats) in holds {
            columns.events.extend(seats.iter().map(|_| event));
            columns.seats.extend(seats.iter().cloned());
            columns.holds.extend(seats.iter().map(|_| hold));
        }
        columns
    }
}

/// A row as it is stored.
pub(super) struct HoldRow {
    pub(super) hold_id: Uuid,
    pub(super) event_id: Uuid,
    pub(super) user_id: String,
    pub(super) hold_token: String,
    pub(super) seat_ids: Vec<String>,
    pub(super) returned_seat_ids: Vec<String>,
    pub(super) total_minor: i64,
    pub(super) currency: String,
    pub(super) state: String,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) over: bool,
    pub(super) order_id: Option<Uuid>,
}

impl TryFrom<HoldRow> for Hold {
    type Error = sqlx::Error;

    fn try_from(row: HoldRow) -> Result<Self, sqlx::Error> {
        let hold_id = HoldId(row.hold_id);
        let total = money_of(row.total_minor, &row.currency)
            .map_err(|error| impossible("currency", hold_id, &error.to_string()))?;
        let state = HoldState::from_stored(&row.state).ok_or_else(|| impossible("state", hold_id, &row.state))?;
        Ok(Self {
            hold_id,
            event_id: EventId(row.event_id),
            user_id: row.user_id,
            hold_token: row.hold_token,
            seat_ids: row.seat_ids,
            returned_seat_ids: row.returned_seat_ids,
            total,
            state,
            expires_at: row.expires_at,
            over: row.over,
            order_id: row.order_id.map(OrderId),
        })
    }
}

impl Hold {
    /// Where it stands after `event`.
    ///
    /// # Errors
    /// A move that the caller should have ruled out: an error that names the row.
    pub(super) fn after(&self, event: HoldEvent) -> Result<HoldState, sqlx::Error> {
        self.state.on(event).map_err(|error| impossible("state", self.hold_id, &error.to_string()))
    }

    /// Whether its token is in use: by a hold without an order, or used up by the order that was placed with it.
    fn is_named_by_its_token(&self) -> bool {
        self.state == HoldState::Active || (self.order_id.is_some() && self.state != HoldState::Void)
    }
}

fn money_of(amount_minor: i64, currency: &str) -> Result<Money, crate::money::MoneyError> {
    currency_from_code(currency).map(|currency| Money::new(amount_minor, currency))
}

fn impossible(column: &str, hold: HoldId, what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("booking.holds.{column} of {hold}: {what}").into())
}

/// These holds as far as they exist, locked in the order of their ids.
pub(super) async fn lock_holds(tx: &mut PgConnection, holds: &[HoldId]) -> Result<Vec<Hold>, sqlx::Error> {
    lock(tx, holds, None).await
}

/// One hold, locked.
pub(super) async fn lock_hold(tx: &mut PgConnection, hold: HoldId) -> Result<Option<Hold>, sqlx::Error> {
    Ok(lock(tx, &[hold], None).await?.pop())
}

/// The hold of an order, locked.
pub(super) async fn lock_hold_of_order(tx: &mut PgConnection, order: OrderId) -> Result<Option<Hold>, sqlx::Error> {
    Ok(lock(tx, &[], Some(order)).await?.pop())
}

async fn lock(tx: &mut PgConnection, holds: &[HoldId], order: Option<OrderId>) -> Result<Vec<Hold>, sqlx::Error> {
    let rows = sqlx::query_as!(
        HoldRow,
        r#"select hold_id, event_id, user_id, hold_token, seat_ids, returned_seat_ids, total_minor, currency, state,
             expires_at, expires_at <= now() as "over!", order_id
           from booking.holds where hold_id = any($1) or order_id = $2
           order by hold_id
           for update"#,
        &holds.iter().map(|hold| hold.0).collect::<Vec<_>>(),
        order.map(|order| order.0),
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Hold::try_from).collect()
}

/// The hold that a token names, if it names one still.
pub(super) async fn find_hold_by_token(
    db: impl PgExecutor<'_>,
    event: EventId,
    token: &str,
) -> Result<Option<Hold>, sqlx::Error> {
    sqlx::query_as!(
        HoldRow,
        r#"select hold_id, event_id, user_id, hold_token, seat_ids, returned_seat_ids, total_minor, currency, state,
             expires_at, expires_at <= now() as "over!", order_id
           from booking.holds
           where event_id = $1 and hold_token = $2
               and (state = 'active' or (order_id is not null and state <> 'void'))"#,
        event.0,
        token,
    )
    .fetch_optional(db)
    .await?
    .map(Hold::try_from)
    .transpose()
}

/// As [`find_hold_by_token`], locked.
pub(super) async fn lock_hold_by_token(
    tx: &mut PgConnection,
    event: EventId,
    token: &str,
) -> Result<Option<Hold>, sqlx::Error> {
    let Some(found) = find_hold_by_token(&mut *tx, event, token).await? else { return Ok(None) };
    // it may have moved before it was locked
    let locked = lock_hold(tx, found.hold_id).await?;
    Ok(locked.filter(Hold::is_named_by_its_token))
}

/// A seat that a hold may have.
pub(super) struct Takeable {
    pub(super) seat_id: String,
    pub(super) price_minor: i64,
}

/// Locks those of the seats that this hold may have: free ones, its own, and those of holds that are over.
pub(super) async fn lock_takeable(
    tx: &mut PgConnection,
    event: EventId,
    seats: &[String],
    hold: HoldId,
) -> Result<Vec<Takeable>, sqlx::Error> {
    sqlx::query_as!(
        Takeable,
        "select seat_id, price_minor from booking.seats
         where event_id = $1 and seat_id = any($2)
             and order_id is null and (hold_id is null or hold_id = $3 or held_until <= now())
         -- the order in which everybody locks
         order by seat_id
         for update",
        event.0,
        seats,
        hold.0,
    )
    .fetch_all(tx)
    .await
}

/// Makes locked seats a hold's until then.
pub(super) async fn hold_seats(
    tx: &mut PgConnection,
    event: EventId,
    seats: &[String],
    hold: HoldId,
    until: DateTime<Utc>,
) -> Result<Vec<SeatState>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"update booking.seats set hold_id = $3, held_until = $4, version = version + 1
           where event_id = $1 and seat_id = any($2)
           returning seat_id, version, (extract(epoch from $4 - now()) * 1000)::bigint as "for_ms!""#,
        event.0,
        seats,
        hold.0,
        until,
    )
    .fetch_all(tx)
    .await?;
    let states = rows.into_iter().map(|row| SeatState {
        seat_id: row.seat_id,
        version: row.version,
        standing: Standing::Held { by: hold, for_ms: row.for_ms },
    });
    Ok(states.collect())
}

/// Frees those of the seats that are still this hold's and not sold.
pub(super) async fn free_held(
    tx: &mut PgConnection,
    event: EventId,
    seats: &[String],
    hold: HoldId,
) -> Result<Vec<SeatState>, sqlx::Error> {
    let rows = sqlx::query!(
        "with own as (
             select seat_id from booking.seats
             where event_id = $1 and seat_id = any($2) and hold_id = $3 and order_id is null
             order by seat_id
             for update
         )
         update booking.seats s set hold_id = null, held_until = null, version = version + 1
         from own
         where s.event_id = $1 and s.seat_id = own.seat_id
         returning s.seat_id, s.version",
        event.0,
        seats,
        hold.0,
    )
    .fetch_all(tx)
    .await?;
    let states =
        rows.into_iter().map(|row| SeatState { seat_id: row.seat_id, version: row.version, standing: Standing::Free });
    Ok(states.collect())
}

/// Frees those of the seats that are sold to this order.
pub(super) async fn free_sold(
    tx: &mut PgConnection,
    event: EventId,
    seats: &[String],
    order: OrderId,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "with own as (
             select seat_id from booking.seats
             where event_id = $1 and seat_id = any($2) and order_id = $3
             order by seat_id
             for update
         )
         update booking.seats s
         set hold_id = null, held_until = null, order_id = null, version = version + 1
         from own
         where s.event_id = $1 and s.seat_id = own.seat_id
         returning s.seat_id",
        event.0,
        seats,
        order.0,
    )
    .fetch_all(tx)
    .await
}

/// Moves a locked hold to another state that has no other columns of its own.
pub(super) async fn set_state(tx: &mut PgConnection, hold: HoldId, state: HoldState) -> Result<(), sqlx::Error> {
    sqlx::query!("update booking.holds set state = $2, changed_at = now() where hold_id = $1", hold.0, state.as_str(),)
        .execute(tx)
        .await
        .map(drop)
}
