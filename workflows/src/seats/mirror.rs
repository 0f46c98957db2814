//! Telling Redis how seats stand in Postgres: what changed, through the outbox; and everything that is not free,
//! when it was found empty.
//!
//! A message only names seats. How they stand is read when it is delivered, so that messages may come late,
//! twice, in any order.

use crate::{
    ids::{EventId, HoldId},
    redis_link::LinkError,
    seat_cache::{SeatCache, SeatState, Standing},
};
use orchestrator::outbox::{Destination, Message, enqueue_in_tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool, types::Uuid};

/// The topic of messages that tell Redis of changed seats.
pub const SEATS_CHANGED: &str = "seats.changed";
/// Seats that one message names at most.
const SEATS_PER_MESSAGE: usize = 500;
/// Seats that are read at once while warming.
const WARM_PAGE: i64 = 2_000;
/// Events that are looked at by one [`warm_if_cold`].
const WARM_EVENTS_MAX: i64 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeatsChanged {
    event_id: EventId,
    seat_ids: Vec<String>,
}

/// Redis could not be told of seats.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The seats could not be read.
    #[error("the seats could not be read")]
    Database(#[from] sqlx::Error),
    /// Redis is no help now.
    #[error("Redis could not be told")]
    Cache(#[from] LinkError),
}

/// Puts a message about changed seats into the outbox.
pub(crate) async fn tell_in_tx(
    tx: &mut PgConnection,
    event_id: EventId,
    seat_ids: &[String],
) -> Result<(), sqlx::Error> {
    tell_all_in_tx(tx, [(event_id, seat_ids.to_vec())]).await
}

/// Puts messages about changed seats of several events into the outbox.
pub(crate) async fn tell_all_in_tx(
    tx: &mut PgConnection,
    changed: impl IntoIterator<Item = (EventId, Vec<String>)>,
) -> Result<(), sqlx::Error> {
    let mut messages = Vec::new();
    for (event_id, seats) in changed {
        for seat_ids in seats.chunks(SEATS_PER_MESSAGE) {
            let changed = SeatsChanged { event_id, seat_ids: seat_ids.to_vec() };
            let payload = serde_json::to_value(changed).map_err(|error| sqlx::Error::Encode(error.into()))?;
            let topic = SEATS_CHANGED.to_owned();
            messages.push(Message { topic, payload, destination: Destination::Inside });
        }
    }
    enqueue_in_tx(tx, &messages).await
}

/// Delivers a message of the topic [`SEATS_CHANGED`].
///
/// # Errors
/// To be tried again: the database or Redis is away.
pub async fn deliver_seats_changed(pool: &PgPool, cache: &SeatCache, payload: &Value) -> Result<(), anyhow::Error> {
    let changed = SeatsChanged::deserialize(payload)?;
    mirror_seats(pool, cache, changed.event_id, &changed.seat_ids).await?;
    Ok(())
}

/// Tells Redis how these seats stand now.
///
/// # Errors
/// [`MirrorError`].
pub async fn mirror_seats(
    pool: &PgPool,
    cache: &SeatCache,
    event: EventId,
    seats: &[String],
) -> Result<(), MirrorError> {
    if cache.is_absent() {
        return Ok(());
    }
    let rows = sqlx::query_as!(
        StateRow,
        r#"select seat_id, version, hold_id, order_id is not null as "sold!",
             (extract(epoch from held_until - now()) * 1000)::bigint as for_ms
           from booking.seats where event_id = $1 and seat_id = any($2)"#,
        event.0,
        seats,
    )
    .fetch_all(pool)
    .await?;
    let states: Vec<SeatState> = rows.into_iter().map(SeatState::from).collect();
    cache.mirror(event, &states).await?;
    Ok(())
}

/// Tells Redis of all seats of an event that are not free, page by page.
///
/// # Errors
/// [`MirrorError`].
pub async fn warm(pool: &PgPool, cache: &SeatCache, event: EventId) -> Result<(), MirrorError> {
    if cache.is_absent() {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let rows = sqlx::query_as!(
            StateRow,
            r#"select seat_id, version, hold_id, order_id is not null as "sold!",
                 (extract(epoch from held_until - now()) * 1000)::bigint as for_ms
               from booking.seats
               where event_id = $1 and seat_id > $2 and (order_id is not null or held_until > now())
               order by seat_id
               limit $3"#,
            event.0,
            after,
            WARM_PAGE,
        )
        .fetch_all(pool)
        .await?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.seat_id);
        let states: Vec<SeatState> = rows.into_iter().map(SeatState::from).collect();
        cache.mirror(event, &states).await?;
    }
    cache.mark_warm(event).await?;
    Ok(())
}

/// Warms the events on sale that Redis knows nothing of. For periodic work; answers how many.
///
/// # Errors
/// [`MirrorError`]: the rest is done the next time.
pub async fn warm_if_cold(pool: &PgPool, cache: &SeatCache) -> Result<usize, MirrorError> {
    if cache.is_absent() {
        return Ok(0);
    }
    let events = sqlx::query_scalar!(
        "select event_id from booking.events
         where start_time > now() - interval '1 day'
             and (sales_start is null or sales_start < now() + interval '10 minutes')
             and (sales_end is null or sales_end > now())
         order by start_time
         limit $1",
        WARM_EVENTS_MAX,
    )
    .fetch_all(pool)
    .await?;
    let mut warmed = 0;
    for event in events.into_iter().map(EventId) {
        if !cache.is_warm(event).await? {
            warm(pool, cache, event).await?;
            warmed += 1;
        }
    }
    Ok(warmed)
}

struct StateRow {
    seat_id: String,
    version: i64,
    hold_id: Option<Uuid>,
    sold: bool,
    for_ms: Option<i64>,
}

impl From<StateRow> for SeatState {
    fn from(row: StateRow) -> Self {
        let standing = match (row.sold, row.hold_id, row.for_ms) {
            (true, ..) => Standing::Sold,
            (false, Some(hold), Some(for_ms)) => Standing::Held { by: HoldId(hold), for_ms },
            (false, ..) => Standing::Free,
        };
        Self { seat_id: row.seat_id, version: row.version, standing }
    }
}
