//! The catalogue: what is sold, where, when, at which price. An event is made with all its seats and does not
//! change afterwards.

mod listing;
mod local_time;
mod new_event;

pub use listing::{EventFilter, EventPage, ListError, list};
pub use local_time::{TimeError, read_time};
pub use new_event::{CheckedEvent, CheckedSection, Mistake, NewEvent, NewSection, SEATS_PER_EVENT_MAX};

use crate::{ids::EventId, spawned};
use chrono::{DateTime, Utc};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
};
use serde::Serialize;
use serde_json::json;
use sqlx::PgPool;

/// An event, as the catalogue shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its id.
    pub event_id: EventId,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub venue: String,
    /// More about it.
    pub description: String,
    /// When it begins.
    pub start_time: DateTime<Utc>,
    /// The venue's IANA time zone.
    pub time_zone: String,
    /// When its sale begins; at once, if not given.
    pub sales_start: Option<DateTime<Utc>>,
    /// When its sale ends; never, if not given.
    pub sales_end: Option<DateTime<Utc>>,
    /// ISO 4217.
    pub currency: String,
    /// How many seats it has.
    pub seat_count: i32,
    /// Its parts, in the order in which they were given.
    pub sections: Vec<Section>,
    /// Changes when anything of the above does; for an entity tag.
    #[serde(skip)]
    pub version: String,
}

/// A part of a venue whose seats have one price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// What it is called.
    pub name: String,
    /// How many rows it has.
    pub rows: i32,
    /// How many seats each row has.
    pub seats_per_row: i32,
    /// Minor units of the event's currency.
    pub price_minor: i64,
}

/// An event that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// Its id.
    pub event_id: EventId,
    /// How many seats it has.
    pub seat_count: i32,
}

/// Why an event could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateEventError {
    /// What was given cannot be sold; every mistake.
    #[error("the event has {} mistakes", .0.len())]
    Invalid(Vec<Mistake>),
    /// The database failed.
    #[error("the event could not be stored")]
    Database(#[from] sqlx::Error),
}

/// Makes an event with all its seats.
///
/// # Errors
/// [`CreateEventError`], with every mistake at once.
pub async fn create(pool: &PgPool, event: &NewEvent, by: Author<'_>) -> Result<Created, CreateEventError> {
    let checked = event.check().map_err(CreateEventError::Invalid)?;
    let event_id = EventId::fresh();
    let seat_count = checked.seat_count();
    let (pool, name, address) = (pool.clone(), by.name.to_owned(), by.address);
    // in a task of its own: a caller that hangs up must not drop a transaction while it begins
    let stored = async move { store(&pool, event_id, &checked, Author { name: &name, address }).await };
    spawned::run(stored).await?;
    Ok(Created { event_id, seat_count })
}

async fn store(pool: &PgPool, event_id: EventId, event: &CheckedEvent, by: Author<'_>) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query!(
        "insert into booking.events
            (event_id, name, venue, description, start_time, time_zone, sales_start, sales_end, currency, seat_count)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        event_id.0,
        event.name,
        event.venue,
        event.description,
        event.start_time,
        event.time_zone.name(),
        event.sales_start,
        event.sales_end,
        event.currency.code(),
        event.seat_count(),
    )
    .execute(&mut *tx)
    .await?;
    for (position, section) in (0_i16..).zip(&event.sections) {
        sqlx::query!(
            "insert into booking.sections (event_id, position, name, slug, row_count, seats_per_row, price_minor)
             values ($1, $2, $3, $4, $5, $6, $7)",
            event_id.0,
            position,
            section.name,
            section.slug,
            section.rows,
            section.seats_per_row,
            section.price_minor,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into booking.seats (event_id, seat_id, section, row_number, seat_number, price_minor)
             select $1, $2 || r || '-' || n, $3, r, n, $4
             from generate_series(1, $5::integer) as r, generate_series(1, $6::integer) as n",
            event_id.0,
            crate::seats::seat_id_prefix(event_id, &section.slug),
            position,
            section.price_minor,
            section.rows,
            section.seats_per_row,
        )
        .execute(&mut *tx)
        .await?;
    }
    let act = DoneAct {
        by,
        act: "event.create",
        object: &event_id.to_string(),
        reason: "",
        detail: json!({ "name": event.name, "venue": event.venue, "seatCount": event.seat_count() }),
    };
    record_in_tx(&mut tx, &act).await?;
    tx.commit().await
}

/// One event.
///
/// # Errors
/// The database's.
pub async fn get(pool: &PgPool, event_id: EventId) -> Result<Option<Event>, sqlx::Error> {
    Ok(listing::with_ids(pool, &[event_id.0]).await?.pop())
}

/// Whether there is no event at all.
///
/// # Errors
/// The database's.
pub async fn is_empty(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select not exists (select from booking.events) as "empty!""#).fetch_one(pool).await
}
