//! What may never be, of ours: `booking.violations` says what is, and is empty when all is well.

use sqlx::PgPool;

/// How many are shown at most.
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

/// All violations of the booking schema's invariants.
///
/// # Errors
/// The database's.
pub async fn violations(pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
    sqlx::query_as!(
        Violation,
        r#"select invariant as "invariant!", subject as "subject!", detail as "detail!"
           from booking.violations limit $1"#,
        VIOLATIONS_MAX
    )
    .fetch_all(pool)
    .await
}
