//! What is printed on a ticket.

use crate::ids::{OrderId, TicketId};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgPool;

/// How a time is told to people: as it is at the venue.
const TIME_FORMAT: &str = "%A, %-d %B %Y, %H:%M";

/// A ticket, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paper {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The order that it belongs to.
    pub order_id: OrderId,
    /// What it is for.
    pub event: String,
    /// Where that is.
    pub venue: String,
    /// When it begins, at the venue.
    pub starts: String,
    /// Where the seat is.
    pub section: String,
    /// The seat's row.
    pub row: i32,
    /// The seat's place in its row.
    pub number: i32,
    /// What the gate checks.
    pub code: String,
    /// Since when it exists.
    pub issued_at: DateTime<Utc>,
}

/// The tickets of an order that let somebody in, or only this one of them, in the order of their seats.
///
/// # Errors
/// The database's.
pub async fn papers(pool: &PgPool, order: OrderId, only: Option<TicketId>) -> Result<Vec<Paper>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select t.ticket_id, t.code, t.issued_at, e.name as event, e.venue, e.start_time, e.time_zone,
               c.name as section, s.row_number, s.seat_number
           from booking.tickets t
           join booking.events e on e.event_id = t.event_id
           join booking.seats s on s.event_id = t.event_id and s.seat_id = t.seat_id
           join booking.sections c on c.event_id = s.event_id and c.position = s.section
           where t.order_id = $1 and t.revoked_at is null and ($2::uuid is null or t.ticket_id = $2)
           order by s.section, s.row_number, s.seat_number"#,
        order.0,
        only.map(|ticket| ticket.0)
    )
    .fetch_all(pool)
    .await?;
    let paper = rows.into_iter().map(|row| Paper {
        ticket_id: TicketId(row.ticket_id),
        order_id: order,
        event: row.event,
        venue: row.venue,
        starts: told(row.start_time, &row.time_zone),
        section: row.section,
        row: row.row_number,
        number: row.seat_number,
        code: row.code,
        issued_at: row.issued_at,
    });
    Ok(paper.collect())
}

/// A time as it is at the venue.
fn told(at: DateTime<Utc>, zone: &str) -> String {
    match zone.parse::<Tz>() {
        Ok(known) => format!("{} ({zone})", at.with_timezone(&known).format(TIME_FORMAT)),
        // a zone of another release's list
        Err(_) => format!("{} (UTC)", at.format(TIME_FORMAT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_it_is_at_the_venue() {
        let at: DateTime<Utc> = "2036-12-31T23:30:00Z".parse().unwrap();
        assert_eq!(told(at, "Europe/Rome"), "Thursday, 1 January 2037, 00:30 (Europe/Rome)");
        assert_eq!(told(at, "Nowhere/Else"), "Wednesday, 31 December 2036, 23:30 (UTC)");
    }
}
