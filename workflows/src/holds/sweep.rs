//! Holds whose time is over. Their seats are free without this: it only says so, to the holds and to Redis.

use super::{
    state::{HoldEvent, HoldState},
    store::SeatColumns,
};
use crate::{ids::EventId, seats::tell_all_in_tx};
use sqlx::{PgConnection, PgPool, types::Uuid};
use std::collections::BTreeMap;

/// Expires up to `limit` holds, and says how many there were. Several may do it at once.
///
/// # Errors
/// The database's.
pub async fn sweep_expired(pool: &PgPool, limit: i64) -> Result<usize, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let ended = end(&mut tx, limit).await?;
    if ended.is_empty() {
        return Ok(0);
    }
    let freed = free(&mut tx, &ended).await?;
    tell_all_in_tx(&mut tx, freed).await?;
    tx.commit().await?;
    Ok(ended.len())
}

struct Ended {
    hold_id: Uuid,
    event_id: Uuid,
    seat_ids: Vec<String>,
}

async fn end(tx: &mut PgConnection, limit: i64) -> Result<Vec<Ended>, sqlx::Error> {
    debug_assert!([HoldState::Active, HoldState::Ordered].iter().all(|state| state.on(HoldEvent::TimeOver).is_ok()));
    sqlx::query_as!(
        Ended,
        "with ended as (
             select hold_id from booking.holds
             where state in ('active', 'ordered') and expires_at <= now()
             order by expires_at
             limit $1
             for update skip locked
         )
         update booking.holds h set state = 'expired', changed_at = now()
         from ended where h.hold_id = ended.hold_id
         returning h.hold_id, h.event_id, h.seat_ids",
        limit,
    )
    .fetch_all(tx)
    .await
}

/// Frees the seats that nobody has taken since.
async fn free(tx: &mut PgConnection, ended: &[Ended]) -> Result<BTreeMap<EventId, Vec<String>>, sqlx::Error> {
    let SeatColumns { events, seats, holds } =
        SeatColumns::of(ended.iter().map(|hold| (hold.hold_id, hold.event_id, hold.seat_ids.as_slice())));
    let rows = sqlx::query!(
        "with own as (
             select s.event_id, s.seat_id
             from unnest($1::uuid[], $2::text[], $3::uuid[]) as ended(event_id, seat_id, hold_id)
             join booking.seats s on s.event_id = ended.event_id and s.seat_id = ended.seat_id
                 and s.hold_id = ended.hold_id and s.order_id is null
             order by s.event_id, s.seat_id
             for update of s
         )
         update booking.seats s set hold_id = null, held_until = null, version = version + 1
         from own
         where s.event_id = own.event_id and s.seat_id = own.seat_id
         returning s.event_id, s.seat_id",
        &events,
        &seats,
        &holds,
    )
    .fetch_all(tx)
    .await?;
    let mut freed: BTreeMap<EventId, Vec<String>> = BTreeMap::new();
    for row in rows {
        freed.entry(EventId(row.event_id)).or_default().push(row.seat_id);
    }
    Ok(freed)
}
