//! The seats of an event as buyers see them.

use crate::{
    ids::EventId,
    money::{Money, currency_from_code},
};
use serde::Serialize;
use sqlx::PgPool;

/// How a seat stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SeatStatus {
    /// Anybody's.
    Available,
    /// Somebody's for a while.
    Held,
    /// Somebody's.
    Sold,
}

/// A seat of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Its id.
    pub seat_id: String,
    /// Its section's name.
    pub section: String,
    /// Its row, from 1.
    pub row: i32,
    /// Its place in the row, from 1.
    pub number: i32,
    /// What it costs.
    pub price: Money,
    /// How it stands.
    pub status: SeatStatus,
}

/// All seats of an event or a section, in the order of sections, rows, numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatMap {
    /// The seats.
    pub items: Vec<Seat>,
    /// Changes when a seat does, and when a hold ends by time; for an entity tag.
    pub version: String,
}

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum SeatMapError {
    /// There is no such event.
    #[error("there is no event {0}")]
    NoSuchEvent(EventId),
    /// The event has no such section.
    #[error("the event has no section `{0}`")]
    NoSuchSection(String),
    /// The database failed.
    #[error("the seats could not be read")]
    Database(#[from] sqlx::Error),
}

/// What a version is made of. No seat changes without its version growing, and between two equal sums holds can
/// only end: so the two numbers together never repeat.
fn version(event: EventId, changes: i64, held: i64) -> String {
    format!("{}-{changes}-{held}", event.0.simple())
}

/// The seats of an event, or of one of its sections.
///
/// # Errors
/// [`SeatMapError`].
pub async fn seat_map(pool: &PgPool, event: EventId, section: Option<&str>) -> Result<SeatMap, SeatMapError> {
    let currency = currency_of(pool, event, section).await?;
    let rows = sqlx::query!(
        r#"select s.seat_id, c.name as section, s.row_number, s.seat_number, s.price_minor, s.version,
             s.order_id is not null as "sold!", coalesce(s.held_until > now(), false) as "held!"
           from booking.seats s
           join booking.sections c on c.event_id = s.event_id and c.position = s.section
           where s.event_id = $1 and ($2::text is null or c.name = $2 or c.slug = $2)
           order by s.section, s.row_number, s.seat_number"#,
        event.0,
        section,
    )
    .fetch_all(pool)
    .await?;
    let changes = rows.iter().map(|row| row.version).sum();
    let mut held = 0;
    let items = rows
        .into_iter()
        .map(|row| {
            let status = match (row.sold, row.held) {
                (true, _) => SeatStatus::Sold,
                (false, true) => SeatStatus::Held,
                (false, false) => SeatStatus::Available,
            };
            held += i64::from(status == SeatStatus::Held);
            Seat {
                seat_id: row.seat_id,
                section: row.section,
                row: row.row_number,
                number: row.seat_number,
                price: Money::new(row.price_minor, currency),
                status,
            }
        })
        .collect();
    Ok(SeatMap { items, version: version(event, changes, held) })
}

/// The version that [`seat_map`] would have now, for much less.
///
/// # Errors
/// [`SeatMapError`].
pub async fn seat_map_version(pool: &PgPool, event: EventId, section: Option<&str>) -> Result<String, SeatMapError> {
    currency_of(pool, event, section).await?;
    let sums = sqlx::query!(
        r#"select coalesce(sum(s.version), 0)::bigint as "changes!", count(*) filter (where s.held_until > now()) as "held!"
           from booking.seats s
           join booking.sections c on c.event_id = s.event_id and c.position = s.section
           where s.event_id = $1 and ($2::text is null or c.name = $2 or c.slug = $2)"#,
        event.0,
        section,
    )
    .fetch_one(pool)
    .await?;
    Ok(version(event, sums.changes, sums.held))
}

async fn currency_of(
    pool: &PgPool,
    event: EventId,
    section: Option<&str>,
) -> Result<crate::money::Currency, SeatMapError> {
    let found = sqlx::query!(
        r#"select currency,
             ($2::text is null or exists (
                 select from booking.sections c
                 where c.event_id = e.event_id and (c.name = $2 or c.slug = $2))) as "has_section!"
           from booking.events e where event_id = $1"#,
        event.0,
        section,
    )
    .fetch_optional(pool)
    .await?
    .ok_or(SeatMapError::NoSuchEvent(event))?;
    if !found.has_section {
        return Err(SeatMapError::NoSuchSection(section.unwrap_or_default().to_owned()));
    }
    currency_from_code(&found.currency).map_err(|error| {
        SeatMapError::Database(sqlx::Error::Decode(format!("booking.events.currency of {event}: {error}").into()))
    })
}
