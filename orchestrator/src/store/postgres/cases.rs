//! Cases: what is in front of a person.

use crate::{
    action::Lane,
    ids::{CaseId, fresh_uuid},
    journal::Entry,
    saga::State,
    store::Append,
};
use sqlx::PgConnection;

/// A saga that is stuck or was killed is in front of a person in the same commit.
pub(super) async fn open(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    for append in appends {
        for entry in append.entries.iter() {
            let (cause, step, code, message) = match entry {
                Entry::Stuck { step, cause, failure, lane } => {
                    let half = if *lane == Lane::Compensation { "its compensation: " } else { "" };
                    (cause.as_str(), step.as_deref(), failure.code.as_str(), format!("{half}{}", failure.message))
                }
                Entry::Killed => {
                    ("killed", None, "killed", "stopped without compensation; see what it left".to_owned())
                }
                _ => continue,
            };
            sqlx::query!(
                "insert into engine.cases (case_id, saga_id, cause, definition, step, code, message, opened_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)
                 on conflict (saga_id) where closed_at is null
                 do update set cause = excluded.cause, step = excluded.step, code = excluded.code,
                               message = excluded.message",
                CaseId(fresh_uuid()).0,
                append.run.saga_id.0,
                cause,
                append.run.definition,
                step,
                code,
                message,
                append.at,
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(())
}

/// A case is over when its saga has got past what stopped it: the step was done, or everything was taken back.
pub(super) async fn close(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    let passed: Vec<_> = appends
        .iter()
        .filter(|append| append.run.has_been_stuck && !matches!(append.run.state, State::Stuck | State::Killed))
        .filter(|append| {
            append
                .entries
                .iter()
                .any(|entry| matches!(entry, Entry::Succeeded { .. } | Entry::Completed | Entry::Compensated))
        })
        .map(|append| append.run.saga_id.0)
        .collect();
    if passed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update engine.cases set closed_at = clock_timestamp() where saga_id = any($1::uuid[]) and closed_at is null",
        &passed
    )
    .execute(tx)
    .await?;
    Ok(())
}
