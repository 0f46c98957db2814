//! Rows that leave their cases by no move of a saga, and those that are forgotten.

use crate::ids::SagaId;
use sqlx::PgPool;
use std::time::Duration;

/// Takes sagas out of their cases of this cause that no move of theirs will take out.
///
/// # Errors
/// The database's.
pub async fn leave(pool: &PgPool, cause: &'static str, sagas: &[SagaId]) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update engine.cases set closed_at = clock_timestamp()
         where cause = $1 and saga_id = any ($2::uuid[]) and closed_at is null",
        cause,
        &sagas.iter().map(|saga| saga.0).collect::<Vec<_>>()
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets who was in which case, and left it longer than this ago, at most `limit` of them.
///
/// # Errors
/// The database's.
pub async fn expire(pool: &PgPool, age: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "-- by indexes alone
         delete from engine.cases where case_id in (
             select case_id from engine.cases
             where opened_at < now() - make_interval(secs => $1)
               and closed_at < now() - make_interval(secs => $1)
             order by opened_at limit $2)",
        age.as_secs_f64(),
        limit
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
