//! What may never be, looked for in production as well: what is found is a case, until it is not found any more.

use crate::invariants::{self, Part, Violation};
use orchestrator::{
    Engine, SagaId,
    cases::{self, INVARIANT, Matter},
    ids::Uuid,
};
use sqlx::PgPool;
use std::time::Duration;

/// How far back the history of sagas is looked through each time. What is older was looked at when it was younger, and
/// is again by `showrunner check`.
const LOOKED_BACK: Duration = Duration::from_secs(25 * 3_600);
/// As many as one part is told at most; when there are so many, what it was not told of may still be.
const TOLD_MAX: usize = 1_000;
/// Code of a matter: nobody can say whether this part's invariants hold.
const UNCHECKED: &str = "unchecked";

/// Looks for what may never be, part by part, and says how much of it is there. A part that the database's limit for one
/// statement ends is a matter of its own, and keeps what it has told.
///
/// # Errors
/// The database's.
pub async fn check_invariants(engine: &Engine) -> Result<usize, sqlx::Error> {
    let pool = engine.pool();
    let of_engine = engine.recent_violations(LOOKED_BACK).await.map(|found| {
        let violation = |(invariant, subject, detail)| Violation { invariant, subject, detail };
        found.into_iter().map(violation).collect()
    });
    let mut count = judge(pool, "sagas", of_engine).await?;
    count += judge(pool, "acts", invariants::of_acts(engine).await).await?;
    for part in Part::ALL {
        count += judge(pool, part.name(), part.violations(pool).await).await?;
    }
    Ok(count)
}

/// Puts what was found in a part before a person, and takes away what was not found any more.
async fn judge(pool: &PgPool, part: &str, found: Result<Vec<Violation>, sqlx::Error>) -> Result<usize, sqlx::Error> {
    let found = match found {
        Err(error) if was_ended(&error) => {
            let detail = "looking took longer than a statement may; see showrunner check".to_owned();
            let unchecked = Violation { invariant: UNCHECKED.to_owned(), subject: part.to_owned(), detail };
            cases::open_in_tx(&mut *pool.acquire().await?, &[matter(part, unchecked, None)]).await?;
            return Ok(1);
        }
        found => found?,
    };
    let mut matters = Vec::with_capacity(found.len());
    for violation in found {
        let saga = shown_by(pool, &violation.subject).await?;
        matters.push(matter(part, violation, saga));
    }
    if matters.len() < TOLD_MAX {
        cases::keep(pool, INVARIANT, &format!("{part}: "), &matters).await?;
    } else {
        cases::open_in_tx(&mut *pool.acquire().await?, &matters).await?;
    }
    Ok(matters.len())
}

/// `query_canceled`: the statement's time was over.
fn was_ended(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("57014")
}

fn matter(part: &str, violation: Violation, saga: Option<SagaId>) -> Matter {
    let Violation { invariant, subject, detail } = violation;
    Matter {
        cause: INVARIANT,
        subject: format!("{part}: {invariant}: {subject}"),
        code: invariant,
        gateway: None,
        message: detail,
        saga,
    }
}

/// The saga itself, or the one that an order, a payment or a refund belongs to.
async fn shown_by(pool: &PgPool, subject: &str) -> Result<Option<SagaId>, sqlx::Error> {
    let Some((what, id)) = subject.split_once(' ') else { return Ok(subject.parse().ok()) };
    let Some(id) = id.get(4..).and_then(|id| Uuid::try_parse(id).ok()) else { return Ok(None) };
    let saga = match what {
        "order" | "sold-without-hold" => {
            sqlx::query_scalar!("select saga_id from booking.orders where order_id = $1", id)
                .fetch_optional(pool)
                .await?
        }
        "payment" => {
            sqlx::query_scalar!("select saga_id from booking.payments where payment_id = $1", id)
                .fetch_optional(pool)
                .await?
        }
        "refund" => {
            sqlx::query_scalar!("select saga_id from booking.refunds where refund_id = $1", id)
                .fetch_optional(pool)
                .await?
        }
        _ => None,
    };
    Ok(saga.map(SagaId))
}
