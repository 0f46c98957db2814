//! Seats: what each is and how it stands. Their ids can be read by people and are nearly unique across events:
//! `7f3a9c12-stalls-3-12` is seat 12 of row 3 in the stalls of one event.

pub mod actions;
mod best;
mod map;
mod mirror;

pub use best::{FreeSeat, Picked, pick};
pub use map::{Seat, SeatMap, SeatMapError, SeatStatus, seat_map, seat_map_version};
pub use mirror::{MirrorError, SEATS_CHANGED, deliver_seats_changed, mirror_seats, warm, warm_if_cold};
pub(crate) use mirror::{tell_all_in_tx, tell_in_tx};

use crate::ids::EventId;
use sqlx::PgExecutor;
use std::collections::BTreeSet;

/// What the ids of a section's seats begin with: the end of the event's id, which is random, and the section.
pub(crate) fn seat_id_prefix(event: EventId, slug: &str) -> String {
    let hex = event.0.simple().to_string();
    format!("{}-{slug}-", &hex[24..])
}

/// Those of the ids that are seats of the event.
pub(crate) async fn known(
    db: impl PgExecutor<'_>,
    event: EventId,
    seats: &[String],
) -> Result<BTreeSet<String>, sqlx::Error> {
    let known = sqlx::query_scalar!(
        "select seat_id from booking.seats where event_id = $1 and seat_id = any($2)",
        event.0,
        seats,
    )
    .fetch_all(db)
    .await?;
    Ok(known.into_iter().collect())
}
