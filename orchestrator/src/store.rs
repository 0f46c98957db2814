//! What every move writes, set-based: journal, projection, wake-up, case, in the caller's transaction.

mod cases;
mod wake;

use crate::{
    ids::SagaId,
    journal::{Entry, Moment, Recorded},
    plan::{Next, Turn},
    run::{Corrupt, Run},
    saga::State,
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// When a saga is looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// The claim stays: the next step follows at once.
    Keep,
    /// The claim stays, in the middle of a call. This is no progress: a call that kills its worker every time
    /// gets here every time.
    InCall,
    /// The claim ends; a worker takes it at this time, or when something wakes it.
    Wake(Option<Moment>),
    /// A person or a signal has moved it: whoever has the claim keeps it, and it is looked at at once.
    Nudge,
    /// Nobody owes it anything.
    Rest,
}

/// One move, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub(crate) move_id: Uuid,
    pub(crate) at: Moment,
    pub(crate) entries: Vec<Entry>,
    /// After the entries.
    pub(crate) run: Run,
    pub(crate) row: Row,
    pub(crate) schedule: Schedule,
    /// Something was answered: its claims are counted anew.
    pub(crate) progress: bool,
}

/// What lists show beside the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) step: Option<String>,
    pub(crate) waiting_on: &'static str,
    pub(crate) reason: Option<String>,
}

impl Append {
    /// The first move of a saga.
    pub(crate) fn start(saga_id: SagaId, at: Moment, step: Option<String>, entry: Entry) -> Self {
        let Entry::Started { starts_at, .. } = &entry else { unreachable!("a saga begins with its start") };
        let starts_at = *starts_at;
        let recorded = Recorded { seq: 1, at, entry: entry.clone() };
        let run = Run::replay(saga_id, &[recorded]).unwrap_or_else(|_| unreachable!("a lone start always replays"));
        let waiting_on = if starts_at > at { "timer" } else { "worker" };
        Self {
            move_id: saga_id.0,
            at,
            entries: vec![entry],
            run,
            row: Row { step, waiting_on, reason: None },
            schedule: Schedule::Wake(Some(starts_at)),
            progress: true,
        }
    }

    fn first_seq(&self) -> i64 {
        self.run.seq - i64::try_from(self.entries.len()).unwrap_or(i64::MAX) + 1
    }
}

impl Row {
    /// What to show of a saga that stands at `step` and whose next thing is `next`.
    pub(crate) fn of(run: &Run, next: &Next, step: Option<String>, name: impl Fn(usize) -> String) -> Self {
        let row = |step, waiting_on, reason| Self { step, waiting_on, reason };
        match next {
            Next::Run(due) => row(Some(name(due.step)), "worker", None),
            Next::Probe(due) => {
                row(Some(name(due.step)), "gateway", Some("what became of a call that is in doubt".to_owned()))
            }
            Next::Sleep(sleep) => {
                let turn = match sleep.turn {
                    Turn::Timer => "timer",
                    Turn::Signal => "signal",
                    Turn::Gateway => "gateway",
                };
                row(step, turn, Some(sleep.reason.clone()))
            }
            Next::Rest if run.state == State::Stuck => {
                let stuck = run.stuck.as_ref();
                let reason = stuck.map(|stuck| stuck.failure.message.clone());
                row(stuck.and_then(|stuck| stuck.step.clone()), "person", reason)
            }
            Next::Rest if run.state == State::Paused => row(step, "person", None),
            Next::Decide(_) => row(step, "worker", None),
            Next::Rest => row(step, "nothing", None),
        }
    }
}

/// The database's time, of the transaction's beginning.
pub(crate) async fn now(tx: &mut PgConnection) -> Result<Moment, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx).await
}

/// Creates the projections and wake-ups of new sagas, each with its priority. Doing it again does nothing: the saga
/// may have gone on meanwhile, and may not need a wake-up any more.
pub(crate) async fn create(tx: &mut PgConnection, appends: &[Append], priorities: &[i16]) -> Result<(), sqlx::Error> {
    if appends.is_empty() {
        return Ok(());
    }
    insert_entries(tx, appends).await?;
    let runs = || appends.iter().map(|append| &append.run);
    let created = sqlx::query_scalar!(
        "insert into engine.sagas (saga_id, definition, version, state, step, seq, waiting_on, priority, tags,
                                   parent_id, starts_at, deadline_at, created_at, updated_at)
         select saga_id, definition, version, 'running', step, 1, waiting_on, priority, tags,
                parent_id, starts_at, deadline_at, created_at, created_at
         from unnest($1::uuid[], $2::text[], $3::int4[], $4::text[], $5::text[], $6::int2[], $7::jsonb[],
                     $8::uuid[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
              as s (saga_id, definition, version, step, waiting_on, priority, tags, parent_id, starts_at,
                    deadline_at, created_at)
         on conflict (saga_id) do nothing
         returning saga_id",
        &runs().map(|run| run.saga_id.0).collect::<Vec<_>>(),
        &runs().map(|run| run.definition.clone()).collect::<Vec<_>>(),
        &runs().map(|run| run.version).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.step.clone()).collect::<Vec<_>>() as &[Option<String>],
        &appends.iter().map(|append| append.row.waiting_on.to_owned()).collect::<Vec<_>>(),
        priorities,
        &runs().map(|run| serde_json::json!(run.tags)).collect::<Vec<_>>(),
        &runs().map(|run| run.parent.map(|parent| parent.0)).collect::<Vec<_>>() as &[Option<Uuid>],
        &runs().map(|run| run.starts_at).collect::<Vec<_>>(),
        &runs().map(|run| run.deadline_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &runs().map(|run| run.created_at).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into engine.ready (saga_id, priority, wake_at)
         select saga_id, priority, starts_at from engine.sagas where saga_id = any($1::uuid[])",
        &created,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes moves of sagas that exist. The caller has locked their wake-ups and knows that no `seq` is taken.
pub(crate) async fn append(tx: &mut PgConnection, appends: &[Append], lease_secs: i32) -> Result<(), sqlx::Error> {
    if appends.is_empty() {
        return Ok(());
    }
    insert_entries(tx, appends).await?;
    update_sagas(tx, appends).await?;
    wake::schedule(tx, appends, lease_secs).await?;
    cases::open(tx, appends).await?;
    cases::close(tx, appends).await
}

async fn insert_entries(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    let mut saga_ids = Vec::new();
    let mut seqs = Vec::new();
    let (mut ats, mut kinds, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let (mut attempts, mut entries, mut move_ids) = (Vec::new(), Vec::<Value>::new(), Vec::new());
    for append in appends {
        for (seq, entry) in (append.first_seq()..).zip(&append.entries) {
            saga_ids.push(append.run.saga_id.0);
            seqs.push(seq);
            ats.push(append.at);
            kinds.push(entry.kind().to_owned());
            steps.push(entry.step().map(str::to_owned));
            attempts.push(entry.attempt().and_then(|attempt| i32::try_from(attempt).ok()));
            entries.push(serde_json::json!(entry));
            move_ids.push(append.move_id);
        }
    }
    sqlx::query!(
        "insert into engine.journal (saga_id, seq, at, kind, step, attempt, entry, move_id)
         select * from unnest($1::uuid[], $2::int8[], $3::timestamptz[], $4::text[], $5::text[], $6::int4[],
                              $7::jsonb[], $8::uuid[])
         on conflict (saga_id, seq) do nothing",
        &saga_ids,
        &seqs,
        &ats,
        &kinds,
        &steps as &[Option<String>],
        &attempts as &[Option<i32>],
        &entries,
        &move_ids,
    )
    .execute(tx)
    .await
    .and_then(|done| expect_rows(done.rows_affected(), seqs.len(), appends))
}

/// Fewer rows than entries means that a `seq` was taken, except where a start is written again.
fn expect_rows(written: u64, wanted: usize, appends: &[Append]) -> Result<(), sqlx::Error> {
    let again = appends.iter().all(|append| append.run.seq == 1);
    if usize::try_from(written).is_ok_and(|written| written == wanted) || again {
        return Ok(());
    }
    Err(sqlx::Error::Protocol("a seq was taken while its saga's wake-up was locked".into()))
}

async fn update_sagas(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    let runs = || appends.iter().map(|append| &append.run);
    let failure = |run: &Run| {
        let stuck = run.stuck.as_ref().map(|stuck| stuck.failure.code.clone());
        stuck.or_else(|| run.cause.as_ref().map(|cause| cause.code.clone()))
    };
    sqlx::query!(
        "update engine.sagas s set
             state = m.state, step = m.step, seq = m.seq, waiting_on = m.waiting_on, wait_reason = m.reason,
             failure_code = m.failure, updated_at = m.at, finished_at = case when m.finished then m.at end
         from unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::bool[])
              as m (saga_id, state, step, seq, waiting_on, reason, failure, at, finished)
         where s.saga_id = m.saga_id and s.saga_id = any($1::uuid[])",
        &runs().map(|run| run.saga_id.0).collect::<Vec<_>>(),
        &runs().map(|run| run.state.as_str().to_owned()).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.step.clone()).collect::<Vec<_>>() as &[Option<String>],
        &runs().map(|run| run.seq).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.waiting_on.to_owned()).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.reason.clone()).collect::<Vec<_>>() as &[Option<String>],
        &runs().map(failure).collect::<Vec<_>>() as &[Option<String>],
        &appends.iter().map(|append| append.at).collect::<Vec<_>>(),
        &runs().map(|run| run.state.is_finished()).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A journal that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database's.
    #[error("could not read the journal")]
    Database(#[from] sqlx::Error),
    /// An entry is not one of ours.
    #[error("engine.journal {saga_id} seq {seq}: column entry does not read")]
    Entry {
        /// The saga.
        saga_id: SagaId,
        /// The entry.
        seq: i64,
        /// Why.
        source: serde_json::Error,
    },
    /// The entries do not fit together.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// The entries of one saga after `seq`, with the moves that wrote them.
pub(crate) type Written = (Recorded, Uuid);

/// The journals of several sagas, each from behind the `seq` that is given for it.
pub(crate) async fn journals_after(
    tx: &mut PgConnection,
    after: &[(SagaId, i64)],
) -> Result<HashMap<SagaId, Result<Vec<Written>, ReadError>>, sqlx::Error> {
    let saga_ids: Vec<_> = after.iter().map(|(saga_id, _)| saga_id.0).collect();
    let seqs: Vec<_> = after.iter().map(|(_, seq)| *seq).collect();
    let rows = sqlx::query!(
        r#"select j.saga_id, j.seq, j.at, j.entry, j.move_id
           from engine.journal j
           join unnest($1::uuid[], $2::int8[]) as m (saga_id, seq) on j.saga_id = m.saga_id and j.seq > m.seq
           where j.saga_id = any($1::uuid[])
           order by j.saga_id, j.seq"#,
        &saga_ids,
        &seqs
    )
    .fetch_all(tx)
    .await?;
    let mut journals: HashMap<SagaId, Result<Vec<Written>, ReadError>> =
        after.iter().map(|(saga_id, _)| (*saga_id, Ok(Vec::new()))).collect();
    for row in rows {
        let saga_id = SagaId(row.saga_id);
        let Some(journal) = journals.get_mut(&saga_id) else { continue };
        match serde_json::from_value(row.entry) {
            Ok(entry) => {
                if let Ok(entries) = journal {
                    entries.push((Recorded { seq: row.seq, at: row.at, entry }, row.move_id));
                }
            }
            Err(source) => *journal = Err(ReadError::Entry { saga_id, seq: row.seq, source }),
        }
    }
    Ok(journals)
}

/// One whole journal.
pub(crate) async fn journal(tx: &mut PgConnection, saga_id: SagaId) -> Result<Vec<Recorded>, ReadError> {
    journal_after(tx, saga_id, 0).await
}

/// What one journal has behind `seq`.
pub(crate) async fn journal_after(
    tx: &mut PgConnection,
    saga_id: SagaId,
    seq: i64,
) -> Result<Vec<Recorded>, ReadError> {
    let mut journals = journals_after(tx, &[(saga_id, seq)]).await?;
    let written = journals.remove(&saga_id).unwrap_or_else(|| Ok(Vec::new()))?;
    Ok(written.into_iter().map(|(recorded, _)| recorded).collect())
}
