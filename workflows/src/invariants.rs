//! What may never be, of ours: `booking.violations` says what is, and is empty when all is well.

use crate::ids::{EventId, HoldId, OrderId, PaymentId, RefundId, TicketId};
use orchestrator::{Engine, acts::ChainBreak, ids::Uuid};
use sqlx::PgPool;

/// How many of each part are shown at most.
const VIOLATIONS_MAX: i64 = 1_000;

/// Something that may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: String,
    /// What it is about.
    pub subject: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What is looked at by one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Seats and the holds they are in.
    Seats,
    /// Orders with their money, tickets and sagas.
    Orders,
    /// The ledger, and what the rows say that it is about.
    Ledger,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Seats, Self::Orders, Self::Ledger];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seats => "seats",
            Self::Orders => "orders",
            Self::Ledger => "ledger",
        }
    }

    /// What is violated in it.
    ///
    /// # Errors
    /// The database's.
    pub async fn violations(self, pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
        let mut found = match self {
            Self::Seats => seats(pool).await?,
            Self::Orders => orders(pool).await?,
            Self::Ledger => ledger(pool).await?,
        };
        for violation in &mut found {
            if let Some(named) = named(&violation.subject) {
                violation.subject = named;
            }
        }
        Ok(found)
    }
}

async fn seats(pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
    sqlx::query_as!(
        Violation,
        r#"select 'invariant-1' as "invariant!", kind || ' ' || object as "subject!", detail as "detail!"
           from booking.seat_violations limit $1"#,
        VIOLATIONS_MAX
    )
    .fetch_all(pool)
    .await
}

async fn orders(pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
    sqlx::query_as!(
        Violation,
        r#"select invariant as "invariant!", subject as "subject!", detail as "detail!"
           from booking.order_violations limit $1"#,
        VIOLATIONS_MAX
    )
    .fetch_all(pool)
    .await
}

async fn ledger(pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
    sqlx::query_as!(
        Violation,
        r#"select invariant as "invariant!", subject as "subject!", detail as "detail!"
           from booking.ledger_violations limit $1"#,
        VIOLATIONS_MAX
    )
    .fetch_all(pool)
    .await
}

/// All violations of the booking schema's invariants.
///
/// # Errors
/// The database's.
pub async fn violations(pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
    let mut found = Vec::new();
    for part in Part::ALL {
        found.extend(part.violations(pool).await?);
    }
    Ok(found)
}

/// Where the record of people's acts is not what was sealed (`docs/audit.md`).
///
/// # Errors
/// The database's.
pub async fn of_acts(engine: &Engine) -> Result<Vec<Violation>, sqlx::Error> {
    let broken = engine.verify_acts(None).await?.broken;
    let violation = |broken: ChainBreak| Violation {
        invariant: "audit-chain".to_owned(),
        subject: "acts".to_owned(),
        detail: broken.to_string(),
    };
    Ok(broken.map(violation).into_iter().collect())
}

/// What the view says of a row, by the id that people know: `order ord_…`.
fn named(subject: &str) -> Option<String> {
    let (what, id) = subject.rsplit_once(' ')?;
    let id = Uuid::try_parse(id).ok()?;
    let id = match what {
        "order" | "sold-without-hold" => OrderId(id).to_string(),
        "payment" => PaymentId(id).to_string(),
        "refund" => RefundId(id).to_string(),
        "ticket" => TicketId(id).to_string(),
        "hold-without-seat" | "committed-seat-not-sold" | "held-without-hold" => HoldId(id).to_string(),
        "seat-count" => EventId(id).to_string(),
        _ => return None,
    };
    Some(format!("{what} {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_the_ids_that_people_know() {
        let id = "01a21548-59e9-7695-bc16-8b9bbaa8c6a3";
        let known = |what: &str| named(&format!("{what} {id}"));
        assert_eq!(known("payment").as_deref(), Some("payment pay_01a2154859e97695bc168b9bbaa8c6a3"));
        assert_eq!(
            known("held-without-hold").as_deref(),
            Some("held-without-hold res_01a2154859e97695bc168b9bbaa8c6a3")
        );
        assert_eq!((known("account"), named("order 17"), named(id)), (None, None, None));
    }
}
