//! What needs a person and is no saga that was stopped: an invariant that does not hold, a webhook that nothing matches.

use crate::ids::{SagaId, fresh_uuid};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matter {
    /// The kind of trouble, as in [`super::Case`].
    pub cause: &'static str,
    /// What it is about. One matter is open for the same cause and subject.
    pub subject: String,
    /// What is wrong, for grouping.
    pub code: String,
    /// Where it comes from.
    pub gateway: Option<String>,
    /// For people, without personal data.
    pub message: String,
    /// The saga that shows it.
    pub saga: Option<SagaId>,
}

/// Puts matters in front of a person. Those that are there already stay as they are.
///
/// # Errors
/// The database's.
pub async fn open_in_tx(tx: &mut PgConnection, matters: &[Matter]) -> Result<(), sqlx::Error> {
    for matter in matters {
        sqlx::query!(
            "insert into engine.cases (case_id, cause, subject, code, gateway, message, shown_by, opened_at)
             values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
             on conflict (cause, subject) where closed_at is null and subject is not null do nothing",
            fresh_uuid(),
            matter.cause,
            matter.subject,
            matter.code,
            matter.gateway,
            matter.message,
            matter.saga.map(|saga| saga.0),
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// A matter is settled.
///
/// # Errors
/// The database's.
pub async fn close_in_tx(tx: &mut PgConnection, cause: &'static str, subject: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.cases set closed_at = clock_timestamp()
         where cause = $1 and subject = $2 and subject is not null and closed_at is null",
        cause,
        subject
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes these the open matters of their cause, and no others, among those whose subject begins with `scope`: what is
/// not among them is settled.
///
/// # Errors
/// The database's.
pub async fn keep(pool: &PgPool, cause: &'static str, scope: &str, matters: &[Matter]) -> Result<(), sqlx::Error> {
    let subjects: Vec<_> = matters.iter().map(|matter| matter.subject.clone()).collect();
    let mut tx = pool.begin().await?;
    sqlx::query!(
        "update engine.cases set closed_at = clock_timestamp()
         where cause = $1 and subject is not null and closed_at is null
           and starts_with(subject, $2) and subject <> all ($3::text[])",
        cause,
        scope,
        &subjects
    )
    .execute(&mut *tx)
    .await?;
    open_in_tx(&mut tx, matters).await?;
    tx.commit().await
}

/// Takes matters of a cause out of their cases that have waited for longer than this. Nobody will do anything about
/// them any more.
///
/// # Errors
/// The database's.
pub async fn give_up(pool: &PgPool, cause: &'static str, age: Duration) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update engine.cases set closed_at = clock_timestamp()
         where cause = $1 and subject is not null and closed_at is null
           and opened_at < now() - make_interval(secs => $2)",
        cause,
        age.as_secs_f64()
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
