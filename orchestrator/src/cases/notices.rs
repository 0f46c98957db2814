//! Who was told of which case: once when it opens, however many sagas join it.

use crate::ids::CaseId;
use sqlx::{PgConnection, PgPool};

/// A case that is over sooner is nobody's news.
const TOLD_AFTER_SECS: f64 = 5.0;
/// One that comes back within this time is the same news.
const SAME_FOR_SECS: f64 = 3_600.0;
/// How many cases one look tells of. The next one finds the others.
const TOLD_MAX: i64 = 20;

/// Open cases that nobody was told of.
///
/// # Errors
/// The database's.
pub async fn untold(pool: &PgPool) -> Result<Vec<CaseId>, sqlx::Error> {
    forget(pool).await?;
    let untold = sqlx::query_scalar!(
        "-- by indexes alone
         select group_id from engine.cases
         where closed_at is null and opened_at < now() - make_interval(secs => $1)
           and not exists (select from engine.case_notices told where told.group_id = cases.group_id)
         group by group_id order by min(opened_at) limit $2",
        TOLD_AFTER_SECS,
        TOLD_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(untold.into_iter().map(CaseId).collect())
}

/// From here on it counts as told, if the transaction commits. False when somebody else has told of it.
///
/// # Errors
/// The database's.
pub async fn mark_told_in_tx(tx: &mut PgConnection, case: CaseId) -> Result<bool, sqlx::Error> {
    let marked = sqlx::query!(
        "insert into engine.case_notices (group_id, told_at) values ($1, now()) on conflict do nothing",
        case.0
    )
    .execute(tx)
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// What is over, and does not come back.
async fn forget(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with stands as (
             select told.group_id, exists (
                 select from engine.cases c where c.group_id = told.group_id and c.closed_at is null
             ) as open
             from engine.case_notices told
         ), emptied as (
             update engine.case_notices told set empty_since = case when not stands.open then now() end
             from stands
             where stands.group_id = told.group_id and stands.open = (told.empty_since is not null)
         )
         delete from engine.case_notices told using stands
         where stands.group_id = told.group_id and not stands.open
           and told.empty_since < now() - make_interval(secs => $1)",
        SAME_FOR_SECS
    )
    .execute(pool)
    .await?;
    Ok(())
}
