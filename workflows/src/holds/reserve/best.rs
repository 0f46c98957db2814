//! The best seats there are. Many buyers choose at once from the same picture, so a choice may be taken by the
//! time it is asked for: then another one is made, without the seats that were lost, and not always the very
//! best. Who loses too often chooses alone.

use super::{
    Reserve, ReserveError, Reserved,
    attempt::{Outcome, Undone, hold_in_tx, require_on_sale},
};
use crate::{
    holds::Holds,
    ids::{EventId, HoldId},
    seats::{FreeSeat, Picked, pick},
};
use rand::RngExt;
use sqlx::{Connection, PgConnection, PgPool};
use std::collections::BTreeSet;

/// How often one buyer chooses beside others.
const CHOICES_MAX: usize = 8;
/// How often one buyer chooses alone: others, who name their seats, may still be faster.
const CHOICES_ALONE_MAX: usize = 50;

impl Holds {
    /// Holds the best seats that nobody else has.
    pub(super) async fn hold_best(
        &self,
        request: &Reserve,
        count: usize,
        section: Option<&str>,
    ) -> Result<Outcome, ReserveError> {
        let known = self.known_hold(request).await?;
        let sections = sections(&self.pool, request.event_id, section).await?;
        if let Some(hold) = known.as_ref().filter(|hold| hold.seat_ids.len() == count)
            && all_in(&self.pool, request.event_id, &hold.seat_ids, &sections).await?
        {
            return Ok(Outcome::Reserved(Reserved::Same(hold.clone())));
        }
        let own = known.map(|hold| hold.hold_id);
        let mut lost = BTreeSet::new();
        for choice in 0..CHOICES_MAX {
            let nth = if choice == 0 { 0 } else { rand::rng().random_range(0..=choice * count * 4) };
            let mut db = self.pool.acquire().await?;
            let chosen = choose(&mut db, request.event_id, &sections, own, &lost, (count, nth)).await?;
            let Some(seats) = chosen else {
                require_on_sale(&mut db, request.event_id).await?;
                return Ok(Outcome::Unavailable(Vec::new()));
            };
            drop(db);
            match self.hold_these(request, &seats).await? {
                Outcome::Unavailable(taken) => lost.extend(taken),
                outcome => return Ok(outcome),
            }
        }
        self.hold_best_alone(request, count, &sections, own).await
    }

    /// Lets nobody else choose meanwhile: in one transaction, without Redis, which is told afterwards.
    async fn hold_best_alone(
        &self,
        request: &Reserve,
        count: usize,
        sections: &[i16],
        own: Option<HoldId>,
    ) -> Result<Outcome, ReserveError> {
        let hold_id = own.unwrap_or_else(HoldId::fresh);
        let mut tx = self.pool.begin().await?;
        sqlx::query!("select name from booking.events where event_id = $1 for no key update", request.event_id.0)
            .fetch_optional(&mut *tx)
            .await?;
        let mut lost = BTreeSet::new();
        for _ in 0..CHOICES_ALONE_MAX {
            let chosen = choose(&mut tx, request.event_id, sections, own, &lost, (count, 0)).await?;
            let Some(seats) = chosen else { break };
            // gives back the locks of a choice that was lost, so that two never wait for each other
            let mut choice = tx.begin().await?;
            match hold_in_tx(&mut choice, request, &seats, hold_id, self.hold_ttl).await {
                Ok(done) => {
                    choice.commit().await?;
                    tx.commit().await?;
                    self.tell_cache(request.event_id, &done).await;
                    return Ok(Outcome::Reserved(done.reserved));
                }
                Err(Undone::Unavailable(taken)) => lost.extend(taken),
                Err(Undone::TokenRaced) => return Ok(Outcome::TokenRaced),
                Err(Undone::Failed(error)) => return Err(error),
            }
            choice.rollback().await?;
        }
        Ok(Outcome::Unavailable(Vec::new()))
    }
}

/// The best seats of the first section that has good ones; else the best of all. Sorted.
async fn choose(
    db: &mut PgConnection,
    event: EventId,
    sections: &[i16],
    own: Option<HoldId>,
    lost: &BTreeSet<String>,
    (count, nth): (usize, usize),
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let mut free = Vec::new();
    let mut picked = None;
    for section in sections {
        let here = free_in(&mut *db, event, *section, own, lost).await?;
        picked = pick(&here, count, nth).filter(|picked| picked.clean);
        if picked.is_some() {
            break;
        }
        free.extend(here);
    }
    Ok(picked.or_else(|| pick(&free, count, nth)).map(|Picked { mut seat_ids, .. }| {
        seat_ids.sort();
        seat_ids
    }))
}

async fn free_in(
    db: &mut PgConnection,
    event: EventId,
    section: i16,
    own: Option<HoldId>,
    lost: &BTreeSet<String>,
) -> Result<Vec<FreeSeat>, sqlx::Error> {
    let lost: Vec<String> = lost.iter().cloned().collect();
    sqlx::query_as!(
        FreeSeat,
        "select s.section, s.row_number as row, s.seat_number as number, c.seats_per_row as row_width, s.seat_id
         from booking.seats s
         join booking.sections c on c.event_id = s.event_id and c.position = s.section
         where s.event_id = $1 and s.section = $2
             and s.order_id is null and (s.hold_id is null or s.hold_id = $3 or s.held_until <= now())
             and s.seat_id <> all($4)",
        event.0,
        section,
        own.map(|hold| hold.0),
        &lost,
    )
    .fetch_all(db)
    .await
}

/// The event's sections that count, the best first.
async fn sections(pool: &PgPool, event: EventId, section: Option<&str>) -> Result<Vec<i16>, ReserveError> {
    let all = sqlx::query!(
        r#"select position, ($2::text is null or name = $2 or slug = $2) as "wanted!"
           from booking.sections where event_id = $1
           order by position"#,
        event.0,
        section,
    )
    .fetch_all(pool)
    .await?;
    if all.is_empty() {
        return Err(ReserveError::NoSuchEvent(event));
    }
    let wanted: Vec<i16> = all.into_iter().filter(|section| section.wanted).map(|section| section.position).collect();
    match section {
        Some(section) if wanted.is_empty() => Err(ReserveError::NoSuchSection(section.to_owned())),
        _ => Ok(wanted),
    }
}

/// Whether all these seats are in one of these sections.
async fn all_in(pool: &PgPool, event: EventId, seats: &[String], sections: &[i16]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(bool_and(section = any($3)), false) as "all!"
           from booking.seats where event_id = $1 and seat_id = any($2)"#,
        event.0,
        seats,
        sections,
    )
    .fetch_one(pool)
    .await
}
