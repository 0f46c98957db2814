//! Periodic work: with many processes, each run of it is claimed by one.

use sqlx::PgPool;
use std::time::Duration;

/// Something that is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: &'static str,
    /// From one run's start to the next one's.
    pub every: Duration,
}

/// Claims the runs of `schedules` that are due: each goes to one caller.
///
/// # Errors
/// The database's.
pub async fn claim_due(pool: &PgPool, schedules: &[Schedule]) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<_> = schedules.iter().map(|schedule| schedule.name.to_owned()).collect();
    let every: Vec<_> =
        schedules.iter().map(|schedule| i64::try_from(schedule.every.as_millis()).unwrap_or(i64::MAX)).collect();
    sqlx::query!(
        "insert into engine.schedules (name, next_at) select name, clock_timestamp() from unnest($1::text[]) as n (name)
         where not exists (select from engine.schedules s where s.name = n.name)
         on conflict (name) do nothing",
        &names
    )
    .execute(pool)
    .await?;
    sqlx::query_scalar!(
        "update engine.schedules s
         set last_started_at = clock_timestamp(), next_at = clock_timestamp() + m.every_ms * interval '1 millisecond'
         from unnest($1::text[], $2::int8[]) as m (name, every_ms)
         where s.name = m.name and s.name = any(array(
             select name from engine.schedules
             where name = any($1::text[]) and next_at <= clock_timestamp()
             order by name for update skip locked))
         returning s.name",
        &names,
        &every
    )
    .fetch_all(pool)
    .await
}

/// Records that a run has ended.
///
/// # Errors
/// The database's.
pub async fn finished(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update engine.schedules set last_finished_at = clock_timestamp() where name = $1", name)
        .execute(pool)
        .await?;
    Ok(())
}
