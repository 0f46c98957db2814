//! Which sagas are in which case: opened and closed by the moves that make it so (see [`crate::cases`]).

use crate::{action::Lane, cases::KILLED, ids::fresh_uuid, journal::Entry, run::Run, saga::State, store::Append};
use sqlx::PgConnection;

/// Why a saga needs a person, as its move says.
struct Matter<'a> {
    cause: &'a str,
    step: Option<&'a str>,
    lane: Option<Lane>,
    code: &'a str,
    message: String,
}

fn matter(entry: &Entry) -> Option<Matter<'_>> {
    match entry {
        Entry::Stuck { step, cause, failure, lane } => {
            let half = if *lane == Lane::Compensation { "its compensation: " } else { "" };
            let message = format!("{half}{}", failure.message);
            Some(Matter {
                cause: cause.as_str(),
                step: step.as_deref(),
                lane: Some(*lane),
                code: &failure.code,
                message,
            })
        }
        Entry::Killed => {
            let message = "stopped without compensation; see what it left".to_owned();
            Some(Matter { cause: KILLED, step: None, lane: None, code: "killed", message })
        }
        _ => None,
    }
}

/// Whom a step was calling: the last one that its intents and notes name.
fn gateway<'a>(run: &'a Run, matter: &Matter<'_>) -> Option<&'a str> {
    let step = run.steps.get(matter.step?)?;
    let asked = step.lane(matter.lane?).notes.iter().rev().chain(step.forward.notes.iter().rev());
    asked.filter_map(|note| note["gateway"].as_str()).next()
}

/// A saga that is stuck or was killed is in front of a person in the same commit.
pub(super) async fn open(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    for append in appends {
        for matter in append.entries.iter().filter_map(matter) {
            sqlx::query!(
                "insert into engine.cases (case_id, saga_id, cause, definition, step, lane, code, gateway, message,
                     opened_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 on conflict (saga_id) where closed_at is null
                 do update set cause = excluded.cause, step = excluded.step, lane = excluded.lane,
                               code = excluded.code, gateway = excluded.gateway, message = excluded.message",
                fresh_uuid(),
                append.run.saga_id.0,
                matter.cause,
                append.run.definition,
                matter.step,
                matter.lane.map(Lane::as_str),
                matter.code,
                gateway(&append.run, &matter),
                matter.message,
                append.at,
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(())
}

/// Whether the cases of its saga are over: it has got past what stopped it. The step was done, or everything was taken
/// back.
pub(super) fn are_over(append: &Append) -> bool {
    !matches!(append.run.state, State::Stuck | State::Killed)
        && append
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Succeeded { .. } | Entry::Completed | Entry::Compensated))
}
