//! What people have decided about breakers. It is kept in the database, by whose clock it ends, and every process reads
//! it once a second.

use super::Operation;
use chrono::{DateTime, Utc};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
};
use serde_json::json;
use sqlx::PgPool;
use std::{collections::BTreeMap, time::Duration};

/// Who decides whether calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The breaker itself.
    Auto,
    /// A person: none is.
    Open,
    /// A person: all are.
    Closed,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// A breaker that is not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// Of which gateway.
    pub gateway: String,
    /// For what.
    pub operation: Operation,
    /// How it stands.
    pub mode: Mode,
    /// Why, in the person's words.
    pub reason: String,
    /// The person.
    pub by: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when, if that is known.
    pub until: Option<DateTime<Utc>>,
    /// How long that is from now on, by the database's clock.
    pub lasts: Option<Duration>,
}

/// What a person wants of a gateway's breakers.
#[derive(Debug, Clone, Copy)]
pub struct ModeChange<'a> {
    /// Whose.
    pub gateway: &'a str,
    /// Of this operation; without one, of all.
    pub operation: Option<Operation>,
    /// What they are to be.
    pub mode: Mode,
    /// Until when.
    pub until: Option<DateTime<Utc>>,
    /// Why, in the person's words.
    pub reason: &'a str,
    /// The person.
    pub by: Author<'a>,
}

/// Why a mode was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ModeError {
    /// It would have ended already.
    #[error("the end is not to come")]
    Over,
    /// The database's.
    #[error("the mode could not be written")]
    Database(#[from] sqlx::Error),
}

/// Makes it so, and writes down who wanted it.
///
/// # Errors
/// See [`ModeError`].
pub async fn change(pool: &PgPool, wanted: &ModeChange<'_>) -> Result<(), ModeError> {
    let ModeChange { gateway, operation, mode, until, reason, by } = *wanted;
    let operations: Vec<_> =
        Operation::ALL.into_iter().filter(|known| operation.is_none_or(|one| one == *known)).collect();
    let names: Vec<_> = operations.iter().map(|operation| operation.as_str().to_owned()).collect();
    let mut tx = pool.begin().await?;
    let before = sqlx::query_scalar!(
        r#"select coalesce(jsonb_object_agg(operation, mode), '{}') as "before!"
           from booking.breaker_modes where gateway = $1 and operation = any($2)"#,
        gateway,
        &names
    )
    .fetch_one(&mut *tx)
    .await?;
    if mode == Mode::Auto {
        sqlx::query!("delete from booking.breaker_modes where gateway = $1 and operation = any($2)", gateway, &names)
            .execute(&mut *tx)
            .await?;
    } else {
        let written = sqlx::query!(
            "insert into booking.breaker_modes (gateway, operation, mode, reason, set_by, until)
             select $1, operation, $3, $4, $5, $6 from unnest($2::text[]) as operation
             where $6::timestamptz is null or $6 > now()
             on conflict (gateway, operation) do update
             set mode = excluded.mode, reason = excluded.reason, set_by = excluded.set_by, set_at = now(),
                 until = excluded.until",
            gateway,
            &names,
            mode.as_str(),
            reason,
            by.name,
            until
        )
        .execute(&mut *tx)
        .await?;
        if written.rows_affected() == 0 {
            return Err(ModeError::Over);
        }
    }
    let detail = json!({ "operations": names, "until": until, "before": before });
    let act = format!("gateway.{}", mode.as_str());
    record_in_tx(&mut tx, &DoneAct { by, act: &act, object: gateway, reason, detail }).await?;
    tx.commit().await?;
    Ok(())
}

/// Every breaker that is not its own at this moment.
///
/// # Errors
/// The database's.
pub async fn forced(pool: &PgPool) -> Result<Vec<Forced>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select gateway, operation, mode, reason, set_by, set_at, until,
               (extract(epoch from until - now()) * 1000)::int8 as lasts_ms
           from booking.breaker_modes where until is null or until > now()
           order by gateway, operation"#
    )
    .fetch_all(pool)
    .await?;
    // an operation that is not known here is another release's
    let forced = rows.into_iter().filter_map(|row| {
        Some(Forced {
            operation: Operation::ALL.into_iter().find(|known| known.as_str() == row.operation)?,
            gateway: row.gateway,
            mode: if row.mode == Mode::Open.as_str() { Mode::Open } else { Mode::Closed },
            reason: row.reason,
            by: row.set_by,
            since: row.set_at,
            until: row.until,
            lasts: row.lasts_ms.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or_default())),
        })
    });
    Ok(forced.collect())
}

/// How many sagas are parked, by what they wait for ([`super::parked_reason`]).
///
/// # Errors
/// The database's.
pub async fn parked(pool: &PgPool, reasons: &[String]) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select wait_reason as "reason!", count(*) as "sagas!"
           from engine.saga_states
           where state in ('waiting', 'compensating') and waiting_on = 'gateway' and wait_reason = any($1)
           group by wait_reason"#,
        reasons
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.reason, row.sagas)).collect())
}
