//! History goes by partition: a week of journals and projections is made before it begins, and dropped as a whole
//! when it is older than the retention and nobody needs it any more.

use crate::{engine::Engine, ids::SagaId, journal::Moment};
use sqlx::{Connection, PgPool};
use uuid::Uuid;

/// How young the history that is dropped can be, whatever was asked for: a start that is on its way must find the
/// week of its id, also when clocks differ.
pub const RETENTION_DAYS_MIN: i32 = 1;
/// How old it can be at most: without this, times before all ids would be calculated with.
const RETENTION_DAYS_MAX: i32 = 365_000;
/// How many weeks one run drops. What is left is dropped by the next one.
pub const WEEKS_PER_RUN: usize = 8;

/// What became of the weeks that are older than the retention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldHistory {
    /// So many were dropped.
    pub dropped: usize,
    /// These are kept.
    pub kept: Vec<KeptWeek>,
    /// Somebody used the tables for longer than this may wait; what is left is for the next run.
    pub busy: bool,
}

/// A week that is older than the retention and still needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptWeek {
    /// When it began.
    pub began_at: Moment,
    /// One of the sagas that it is kept for.
    pub saga_id: SagaId,
    /// Why: "is not finished".
    pub why: String,
}

/// A week that may be dropped.
struct Week {
    first_id: Uuid,
    after_id: Uuid,
}

impl Engine {
    /// Makes the partitions of the two weeks to come and one more, and tells how many days have none all the same.
    ///
    /// # Errors
    /// The database's.
    pub async fn make_partitions(&self) -> Result<i64, sqlx::Error> {
        let made = sqlx::query!("select engine.make_partitions(now() - interval '1 day', now() + interval '21 days')")
            .fetch_one(self.pool())
            .await;
        // whether or not they could be made: what counts is whether they are there
        let missing = sqlx::query_scalar!(r#"select count(*) as "days!" from engine.missing_partitions"#)
            .fetch_one(self.pool())
            .await?;
        made.map(|_| missing)
    }

    /// Drops the weeks all of whose sagas are older than this, and that nobody needs.
    ///
    /// # Errors
    /// The database's. What was dropped before stays dropped.
    pub async fn drop_old_history(&self, retention_days: i32) -> Result<OldHistory, sqlx::Error> {
        let mut found = OldHistory::default();
        let mut unneeded = Vec::new();
        let weeks = sqlx::query!(
            r#"select w.first_id as "first_id!", w.after_id as "after_id!", needed.why as "why?",
                      needed.saga_id as "saga_id?", engine.moment_of(w.first_id) as "began_at!"
               from engine.weeks w
               left join lateral (select * from engine.week_is_needed(w.first_id, w.after_id) limit 1) as needed on true
               where w.after_id <= engine.uuid_at(greatest(now() - make_interval(days => $1), to_timestamp(0)))
               order by w.first_id"#,
            retention_days.clamp(RETENTION_DAYS_MIN, RETENTION_DAYS_MAX)
        )
        .fetch_all(self.pool())
        .await?;
        for week in weeks {
            match (week.why, week.saga_id) {
                (Some(why), Some(saga_id)) => {
                    found.kept.push(KeptWeek { began_at: week.began_at, saga_id: SagaId(saga_id), why });
                }
                _ => unneeded.push(Week { first_id: week.first_id, after_id: week.after_id }),
            }
        }
        for week in unneeded.iter().take(WEEKS_PER_RUN) {
            match drop_week(self.pool(), week).await {
                Ok(None) => found.dropped += 1,
                Ok(Some(kept)) => found.kept.push(kept),
                Err(error) if had_to_wait(&error) => {
                    found.busy = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let count = |weeks: usize| u64::try_from(weeks).unwrap_or(u64::MAX);
        metrics::counter!("showrunner_history_weeks_kept_total").increment(count(found.kept.len()));
        metrics::counter!("showrunner_history_weeks_dropped_total").increment(count(found.dropped));
        Ok(found)
    }

    /// Tells the planner what the history's tables have in them as a whole: autovacuum looks at their parts only.
    ///
    /// # Errors
    /// The database's.
    pub async fn analyze_history(&self) -> Result<(), sqlx::Error> {
        // A connection of its own, because of the time that it may take, and a statement for each, so that no
        // snapshot outlasts one table.
        let mut connection = self.pool().acquire().await?.detach();
        sqlx::raw_sql("set statement_timeout = '15min'").execute(&mut connection).await?;
        for statement in ["select engine.analyze_sagas()", "select engine.analyze_journal()"] {
            sqlx::query(statement).execute(&mut connection).await?;
        }
        connection.close().await
    }
}

/// Drops a week, or says who turned out to need it.
async fn drop_week(pool: &PgPool, week: &Week) -> Result<Option<KeptWeek>, sqlx::Error> {
    let needed = sqlx::query!(
        r#"select why as "why!", saga_id as "saga_id!", engine.moment_of($1) as "began_at!"
           from engine.drop_week($1, $2)"#,
        week.first_id,
        week.after_id
    )
    .fetch_optional(pool)
    .await?;
    Ok(needed.map(|row| KeptWeek { began_at: row.began_at, saga_id: SagaId(row.saga_id), why: row.why }))
}

/// Somebody else had the tables: `lock_not_available`, `deadlock_detected`.
fn had_to_wait(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}
