//! What moves write: journal, projection, wake-up, case.

use super::{cases, wake};
use crate::{
    journal::Entry,
    run::Run,
    store::{Append, Stored},
};
use sqlx::{PgConnection, types::Json};

pub(super) async fn append(tx: &mut PgConnection, appends: &[Append], lease_secs: i32) -> Stored<()> {
    if appends.is_empty() {
        return Ok(());
    }
    insert_entries(tx, appends).await?;
    update_sagas(tx, appends).await?;
    wake::schedule(tx, appends, lease_secs).await?;
    cases::open(tx, appends).await
}

pub(super) async fn insert_entries(tx: &mut PgConnection, appends: &[Append]) -> Stored<()> {
    let mut saga_ids = Vec::new();
    let mut seqs = Vec::new();
    let (mut ats, mut kinds, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let (mut attempts, mut entries, mut move_ids) = (Vec::new(), Vec::new(), Vec::new());
    for append in appends {
        for (seq, entry) in (append.first_seq()..).zip(append.entries.iter()) {
            saga_ids.push(append.run.saga_id.0);
            seqs.push(seq);
            ats.push(append.at);
            kinds.push(entry.kind().to_owned());
            steps.push(entry.step().map(str::to_owned));
            attempts.push(entry.attempt().and_then(|attempt| i32::try_from(attempt).ok()));
            entries.push(Json(entry));
            move_ids.push(append.move_id);
        }
    }
    sqlx::query!(
        "insert into engine.journal (saga_id, seq, at, kind, step, attempt, entry, move_id)
         select * from unnest($1::uuid[], $2::int8[], $3::timestamptz[], $4::text[], $5::text[], $6::int4[],
                              $7::jsonb[], $8::uuid[])",
        &saga_ids,
        &seqs,
        &ats,
        &kinds,
        &steps as &[Option<String>],
        &attempts as &[Option<i32>],
        &entries as &[Json<&Entry>],
        &move_ids,
    )
    .execute(tx)
    .await
    .map_err(seq_taken)?;
    Ok(())
}

/// The same again finds what the other has written.
fn seq_taken(error: sqlx::Error) -> sqlx::Error {
    match error.as_database_error() {
        Some(refused) if refused.is_unique_violation() => {
            sqlx::Error::Protocol("a seq was taken while its saga's wake-up was locked".into())
        }
        _ => error,
    }
}

async fn update_sagas(tx: &mut PgConnection, appends: &[Append]) -> Stored<()> {
    let runs = || appends.iter().map(|append| append.run.as_ref());
    let failure = |run: &Run| {
        let stuck = run.stuck.as_ref().map(|stuck| stuck.failure.code.clone());
        stuck.or_else(|| run.cause.as_ref().map(|cause| cause.code.clone()))
    };
    sqlx::query!(
        "with closed as (
             -- nearly always none: found by the small index of the open ones
             update engine.cases set closed_at = clock_timestamp()
             where saga_id = any($12::uuid[]) and closed_at is null
         )
         update engine.sagas s set
             state = m.state, step = m.step, seq = m.seq, waiting_on = m.waiting_on, wait_reason = m.reason,
             failure_code = m.failure, updated_at = m.at, finished_at = case when m.finished then coalesce(s.finished_at, m.at) end
         from unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::bool[])
              as m (saga_id, state, step, seq, waiting_on, reason, failure, at, finished)
         where s.saga_id = m.saga_id
           -- the weeks that they are in, and no other
           and s.saga_id >= $10::uuid and s.saga_id <= $11::uuid",
        &runs().map(|run| run.saga_id.0).collect::<Vec<_>>(),
        &runs().map(|run| run.state.as_str().to_owned()).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.step.clone()).collect::<Vec<_>>() as &[Option<String>],
        &runs().map(|run| run.seq).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.waiting_on.to_owned()).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.reason.clone()).collect::<Vec<_>>() as &[Option<String>],
        &runs().map(failure).collect::<Vec<_>>() as &[Option<String>],
        &appends.iter().map(|append| append.at).collect::<Vec<_>>(),
        &runs().map(|run| run.state.is_finished()).collect::<Vec<_>>(),
        runs().map(|run| run.saga_id.0).min(),
        runs().map(|run| run.saga_id.0).max(),
        &appends.iter().filter(|append| cases::are_over(append)).map(|append| append.run.saga_id.0).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}
