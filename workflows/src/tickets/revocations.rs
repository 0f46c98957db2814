//! What a gate that works without a network has to know beside the keys: which of an event's tickets let nobody in any
//! more. It is signed as codes are, so that a copy can be trusted, whoever has brought it.

use super::TicketKeys;
use crate::ids::{EventId, TicketId};
use chrono::{DateTime, SecondsFormat, Utc};
use orchestrator::ids::Uuid;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

/// The format, so that another may follow. No ticket's code begins so.
const FORMAT: &str = "SRR1";

/// Some of an event's tickets that were taken back: all whose ids lie between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocations {
    /// The event.
    pub event_id: EventId,
    /// When it was so.
    pub at: DateTime<Utc>,
    /// Those behind this one; from the first on, where it is none.
    pub after: Option<TicketId>,
    /// Up to this one; to the last, where it is none.
    pub through: Option<TicketId>,
    /// They, by their ids.
    pub tickets: Vec<TicketId>,
}

/// What is signed. Event and tickets are named as codes name them.
#[derive(Serialize)]
struct Payload {
    #[serde(rename = "e")]
    event: Uuid,
    at: String,
    after: Option<Uuid>,
    through: Option<Uuid>,
    #[serde(rename = "t")]
    tickets: Vec<Uuid>,
}

impl Revocations {
    /// `SRR1.<key id>.<payload>.<signature>`, the last two in base64url.
    ///
    /// # Errors
    /// Never; what the payload's serializer says.
    pub fn signed(&self, keys: &TicketKeys) -> Result<String, serde_json::Error> {
        let payload = Payload {
            event: self.event_id.0,
            at: self.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            after: self.after.map(|ticket| ticket.0),
            through: self.through.map(|ticket| ticket.0),
            tickets: self.tickets.iter().map(|ticket| ticket.0).collect(),
        };
        keys.sign_as(FORMAT, &payload)
    }

    /// Another one says something else, at whatever time.
    #[must_use]
    pub fn version(&self) -> String {
        let mut digest = Sha256::new();
        for bound in [self.after, self.through] {
            digest.update(bound.map_or(Uuid::nil(), |ticket| ticket.0));
        }
        self.tickets.iter().for_each(|ticket| digest.update(ticket.0));
        hex::encode(&digest.finalize()[..16])
    }
}

/// At most `limit` of an event's tickets that were taken back, behind `after`. None: there is no such event.
///
/// # Errors
/// The database's.
pub async fn revocations(
    pool: &PgPool,
    event: EventId,
    after: Option<TicketId>,
    limit: u32,
) -> Result<Option<Revocations>, sqlx::Error> {
    // read before the tickets: what was taken back by then is among them
    let at = sqlx::query_scalar!(r#"select now() as "at!" from booking.events where event_id = $1"#, event.0)
        .fetch_optional(pool)
        .await?;
    let Some(at) = at else { return Ok(None) };
    let mut tickets = sqlx::query_scalar!(
        "select ticket_id from booking.tickets
         where event_id = $1 and revoked_at is not null and ticket_id > $2 order by ticket_id limit $3",
        event.0,
        after.map_or(Uuid::nil(), |ticket| ticket.0),
        i64::from(limit) + 1
    )
    .fetch_all(pool)
    .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = tickets.len() > limit;
    tickets.truncate(limit);
    let tickets: Vec<_> = tickets.into_iter().map(TicketId).collect();
    let through = tickets.last().copied().filter(|_| has_more);
    Ok(Some(Revocations { event_id: event, at, after, through, tickets }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::CodeError;

    fn page(tickets: &[u128], through: Option<u128>) -> Revocations {
        let ticket = |id| TicketId(Uuid::from_u128(id));
        Revocations {
            event_id: EventId(Uuid::from_u128(7)),
            at: DateTime::UNIX_EPOCH,
            after: None,
            through: through.map(ticket),
            tickets: tickets.iter().copied().map(ticket).collect(),
        }
    }

    #[test]
    fn a_version_is_of_what_is_said_and_not_of_when() {
        let first = page(&[1, 2], None);
        assert_eq!(first.version(), Revocations { at: DateTime::<Utc>::MAX_UTC, ..first.clone() }.version());
        for other in [page(&[1], None), page(&[1, 3], None), page(&[1, 2], Some(2)), page(&[], None)] {
            assert_ne!(first.version(), other.version(), "{other:?}");
        }
    }

    #[test]
    fn a_list_is_no_ticket() {
        let keys = TicketKeys::development();
        let signed = page(&[1, 2], None).signed(&keys).unwrap();
        assert_eq!(keys.open(&signed), Err(CodeError::Malformed));
    }
}
