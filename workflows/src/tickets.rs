//! Tickets: the right to a seat, with a code that a gate can check.

mod code;
mod issue;
mod key_file;
mod mail;
mod paper;
pub mod pdf;
mod revocations;

pub use code::{CodeError, Payload, PublishedKey, TicketKeys};
pub use issue::{IssueTickets, IssuedTickets};
pub use key_file::TicketKeysError;
pub use mail::{TICKETS_MAIL, deliver_tickets};
pub use paper::{Paper, papers};
pub use revocations::{Revocations, revocations};

use crate::{
    access::Principal,
    ids::{EventId, OrderId, TicketId},
};
use chrono::{DateTime, Utc};
use orchestrator::ids::Uuid;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

/// A ticket as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The order that it belongs to.
    pub order_id: OrderId,
    /// The event.
    pub event_id: EventId,
    /// The seat.
    pub seat_id: String,
    /// What the gate checks.
    pub code: String,
    /// Whether it still lets anybody in.
    pub valid: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it exists.
    pub issued_at: DateTime<Utc>,
}

/// What a gate learns of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Lets one person in.
    pub valid: bool,
    /// Why not: `malformed`, `unknown-key`, `bad-signature`, `unknown-ticket`, `revoked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The seat, where the signature is right.
    pub seat_id: Option<String>,
    /// The event, where the signature is right.
    pub event_id: Option<EventId>,
}

impl TicketId {
    /// The ticket of this seat in this order: issuing twice gives the same.
    #[must_use]
    pub fn of(order: OrderId, seat_id: &str) -> Self {
        Self(Uuid::new_v5(&order.0, seat_id.as_bytes()))
    }
}

/// The ticket, if it exists and belongs to somebody that `principal` acts for.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, principal: &Principal, id: TicketId) -> Result<Option<Ticket>, sqlx::Error> {
    let row = sqlx::query!(
        "select t.ticket_id, t.order_id, t.event_id, t.seat_id, t.code, t.issued_at, t.revoked_reason, o.user_id
         from booking.tickets t join booking.orders o on o.order_id = t.order_id
         where t.ticket_id = $1",
        id.0
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.filter(|row| principal.acts_for(&row.user_id)).map(|row| Ticket {
        ticket_id: TicketId(row.ticket_id),
        order_id: OrderId(row.order_id),
        event_id: EventId(row.event_id),
        seat_id: row.seat_id,
        code: row.code,
        valid: row.revoked_reason.is_none(),
        reason: row.revoked_reason,
        issued_at: row.issued_at,
    }))
}

/// Checks a code: first its signature, then whether the ticket has been taken back.
///
/// # Errors
/// The database's.
pub async fn verify(pool: &PgPool, keys: &TicketKeys, code: &str) -> Result<Verdict, sqlx::Error> {
    let payload = match keys.open(code) {
        Ok(payload) => payload,
        Err(error) => {
            let reason = match error {
                CodeError::Malformed => "malformed",
                CodeError::UnknownKey => "unknown-key",
                CodeError::BadSignature => "bad-signature",
            };
            return Ok(Verdict { valid: false, reason: Some(reason), seat_id: None, event_id: None });
        }
    };
    let live = sqlx::query_scalar!(
        r#"select revoked_at is null as "live!" from booking.tickets where ticket_id = $1"#,
        payload.ticket
    )
    .fetch_optional(pool)
    .await?;
    let reason = match live {
        Some(true) => None,
        Some(false) => Some("revoked"),
        None => Some("unknown-ticket"),
    };
    Ok(Verdict { valid: reason.is_none(), reason, seat_id: Some(payload.seat), event_id: Some(EventId(payload.event)) })
}

/// Takes back those of an order's live tickets that are for one of these seats.
///
/// # Errors
/// The database's.
pub async fn revoke_in_tx(
    tx: &mut PgConnection,
    order: OrderId,
    seat_ids: &[String],
    reason: &str,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update booking.tickets set revoked_at = now(), revoked_reason = $3
         where order_id = $1 and seat_id = any($2) and revoked_at is null",
        order.0,
        seat_ids,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}
