//! The committer's work: moves of many sagas in one transaction, each fenced by its claim's token and ordered by
//! its journal's `seq`.

mod children;

pub(crate) use children::{SIGNAL_TOPIC, tell_waiters};

use crate::{
    action::{Answer, AnyLocal, Call, Failure, Halt, Probed, Wait},
    catalog::Known,
    group_commit::Work,
    ids::SagaId,
    journal::{Entry, Moment, Recorded, StuckCause},
    judge::{Chance, Judge},
    plan::{self, Due, Next},
    projection::{Moved, Projection},
    run::{Corrupt, Run},
    start::Prepared,
    store::{self, Append, ReadError, Row, Schedule, Written},
};
use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
};
use uuid::Uuid;

/// What a claim's holder wants recorded.
#[derive(Clone)]
pub(crate) enum What {
    /// Nothing but the decisions that follow.
    Decide,
    /// An external attempt is about to be made, if it is still due.
    Intend { due: Due, intent: Value },
    /// Something learned in the middle of one.
    Note { due: Due, note: Value },
    /// An action has answered.
    Answered { due: Due, answer: Answer<Value> },
    /// A probe has answered.
    Probed { due: Due, found: Answer<Probed<Value>> },
    /// A local action, to be run in this very transaction, if it is still due.
    Local { due: Due, call: Box<Call>, input: Value, action: Arc<dyn AnyLocal> },
    /// It cannot go on without a person.
    Stop { step: Option<String>, cause: StuckCause, failure: Failure },
}

impl What {
    /// An action has answered, or a call was found done. A call that kills its worker every time is asked about in
    /// between, and that alone is no progress.
    fn is_progress(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Local { .. } | Self::Probed { found: Ok(Probed::Executed(_)), .. })
    }

    /// In the middle of a call.
    fn is_in_call(&self) -> bool {
        matches!(self, Self::Intend { .. } | Self::Note { .. })
    }
}

/// A move of one saga under one claim.
pub(crate) struct Move {
    pub(crate) id: Uuid,
    pub(crate) token: i64,
    pub(crate) run: Run,
    pub(crate) known: Arc<Known>,
    pub(crate) what: What,
    /// The saga that its answer waits for, ready to be started.
    pub(crate) child: Option<Prepared>,
    /// Whether the claim may go on to the next step.
    pub(crate) may_continue: bool,
}

/// What became of a move.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is durable (or was already), or nothing was to be written.
    Moved {
        /// The saga now.
        run: Box<Run>,
        /// What comes next.
        next: Next,
        /// The saga has moved meanwhile so that what was about to be done must not be done.
        interrupted: bool,
    },
    /// The claim is not ours any more; nothing was written.
    Superseded,
    /// A local action answered that it waits for another saga, which is not prepared; nothing was written.
    WantsChild(Due, Wait),
    /// The journal does not read.
    Unreadable(ReadError),
}

/// Group commit's work on moves.
pub(crate) struct Moves {
    pub(crate) projection: Arc<dyn Projection>,
    pub(crate) chance: Arc<Chance>,
    pub(crate) lease_secs: i32,
    pub(crate) committed: Arc<dyn Fn() + Send + Sync>,
}

/// A move whose claim holds, on the journal as it is now.
struct Held<'a> {
    of: &'a Move,
    run: Run,
}

#[async_trait]
impl Work for Moves {
    type Item = Move;
    type Answer = Outcome;

    async fn apply(&self, tx: &mut PgConnection, items: &[Arc<Move>]) -> Result<Vec<Outcome>, sqlx::Error> {
        let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
        let mut rest: Vec<usize> = (0..items.len()).collect();
        // A saga may be here twice (a note, and then the answer that gave up waiting for it): one wave each.
        while !rest.is_empty() {
            let mut seen = HashSet::new();
            let (wave, later): (Vec<usize>, Vec<usize>) =
                rest.into_iter().partition(|index| seen.insert(items[*index].run.saga_id));
            self.apply_wave(tx, items, &wave, &mut outcomes).await?;
            rest = later;
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn committed(&self) {
        (self.committed)();
    }
}

impl Moves {
    async fn apply_wave(
        &self,
        tx: &mut PgConnection,
        items: &[Arc<Move>],
        wave: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), sqlx::Error> {
        let moves: Vec<&Move> = wave.iter().map(|index| items[*index].as_ref()).collect();
        let tokens = lock_claims(tx, &moves).await?;
        let now = store::now(tx).await?;
        let mut news = news(tx, &moves).await?;
        let mut appends = Vec::new();
        let mut moved = Vec::new();
        for (index, of) in wave.iter().zip(&moves) {
            let saga_id = of.run.saga_id;
            let token_holds = tokens.get(&saga_id).copied().flatten() == Some(of.token);
            let written = news.remove(&saga_id).unwrap_or_else(|| Ok(Vec::new()));
            let outcome = match written.and_then(|written| catch_up(of, &written, token_holds)) {
                Err(error) => Outcome::Unreadable(error),
                Ok(Standing::Superseded) => Outcome::Superseded,
                Ok(Standing::Done(run)) => {
                    let next = plan::plan(&of.known.definition, &run, now);
                    let interrupted = of.what.is_in_call() && is_cancelled(&run);
                    Outcome::Moved { run: Box::new(run), next, interrupted }
                }
                Ok(Standing::Held(run)) => {
                    let held = Held { of, run };
                    match self.record(tx, held, now, &mut appends, &mut moved).await? {
                        Ok(outcome) => outcome,
                        Err(corrupt) => Outcome::Unreadable(corrupt.into()),
                    }
                }
            };
            outcomes[*index] = Some(outcome);
        }
        store::append(tx, &appends, self.lease_secs).await?;
        let by_saga: HashMap<SagaId, &Move> = moves.iter().map(|of| (of.run.saga_id, *of)).collect();
        children::start(tx, &appends, &by_saga).await?;
        children::tell_waiters(tx, &appends).await?;
        if !moved.is_empty() {
            self.projection.apply(tx, &moved).await?;
        }
        Ok(())
    }

    /// Computes one move's entries, running its local action if it has one.
    async fn record(
        &self,
        tx: &mut PgConnection,
        held: Held<'_>,
        now: Moment,
        appends: &mut Vec<Append>,
        moved: &mut Vec<Moved>,
    ) -> Result<Result<Outcome, Corrupt>, sqlx::Error> {
        let Held { of, mut run } = held;
        let definition = &of.known.definition;
        let mut entries = Vec::new();
        let mut interrupted = false;
        match self.entries(tx, of, &run, now).await? {
            Made::Entries(made) => entries = made,
            Made::NotDue => interrupted = true,
            Made::WantsChild(due, wait) => return Ok(Ok(Outcome::WantsChild(due, wait))),
        }
        for (seq, entry) in (run.seq + 1..).zip(&entries) {
            if let Err(corrupt) = run.apply(&Recorded { seq, at: now, entry: entry.clone() }) {
                return Ok(Err(corrupt));
            }
        }
        let in_call = of.what.is_in_call();
        interrupted |= in_call && is_cancelled(&run);
        // In the middle of a call nothing is decided: its answer comes first.
        let next = if in_call {
            plan::plan(definition, &run, now)
        } else {
            match plan::advance(definition, &mut run, now, &mut entries) {
                Ok(next) => next,
                Err(corrupt) => return Ok(Err(corrupt)),
            }
        };
        let schedule = match &next {
            _ if in_call => Schedule::InCall,
            Next::Run(_) | Next::Probe(_) if of.may_continue => Schedule::Keep,
            Next::Run(_) | Next::Probe(_) | Next::Decide(_) => Schedule::Wake(Some(now)),
            Next::Sleep(sleep) => Schedule::Wake(sleep.until),
            Next::Rest => Schedule::Rest,
        };
        let step = current_step(definition, &run);
        let row = if in_call {
            Row { step, waiting_on: "gateway", reason: Some("the answer to a call".to_owned()) }
        } else {
            Row::of(&run, &next, step, |index| definition.steps[index].step.clone())
        };
        if !entries.is_empty() {
            moved.push(Moved::new(&run, &of.known, entries.clone()));
        }
        appends.push(Append {
            move_id: of.id,
            at: now,
            entries,
            run: run.clone(),
            row,
            schedule,
            progress: of.what.is_progress(),
        });
        Ok(Ok(Outcome::Moved { run: Box::new(run), next, interrupted }))
    }

    /// What a move appends.
    async fn entries(&self, tx: &mut PgConnection, of: &Move, run: &Run, now: Moment) -> Result<Made, sqlx::Error> {
        let definition = &of.known.definition;
        let judge = |due: Due| Judge { definition, run, due, now, chance: self.chance.as_ref() };
        // Whoever has written meanwhile may have sent the very signal that this attempt would not have seen.
        let still_due = |due: Due| match plan::plan(definition, run, now) {
            Next::Run(next) => next == due && run.seq == of.run.seq,
            _ => false,
        };
        let name = |due: Due| definition.steps[due.step].step.clone();
        Ok(Made::Entries(match &of.what {
            What::Decide => Vec::new(),
            What::Intend { due, .. } if !still_due(*due) => return Ok(Made::NotDue),
            What::Intend { due, intent } => vec![Entry::Intended {
                step: name(*due),
                lane: due.lane,
                attempt: due.attempt,
                intent: crate::judge::storable(intent.clone()),
            }],
            What::Note { due, note } => vec![Entry::Noted {
                step: name(*due),
                lane: due.lane,
                attempt: due.attempt,
                note: crate::judge::storable(note.clone()),
            }],
            What::Answered { due, answer } => judge(*due).answered(answer),
            What::Probed { due, found } => judge(*due).probed(found),
            What::Local { due, .. } if !still_due(*due) => return Ok(Made::NotDue),
            What::Local { due, call, input, action } => {
                let answer = run_local(tx, action.as_ref(), call, input, definition.steps[due.step].timeout).await?;
                match answer {
                    Err(Halt::Wait(wait)) if wait.child.is_some() => return Ok(Made::WantsChild(*due, wait)),
                    answer => judge(*due).answered(&answer),
                }
            }
            What::Stop { step, cause, failure } => vec![Entry::Stuck {
                step: step.clone(),
                lane: if run.compensating { crate::action::Lane::Compensation } else { crate::action::Lane::Forward },
                cause: *cause,
                failure: failure.clone(),
            }],
        }))
    }
}

/// A person wants it taken back, and that has not begun.
fn is_cancelled(run: &Run) -> bool {
    run.cancel.is_some() && !run.compensating
}

/// The step that a saga stands at, for lists.
pub(crate) fn current_step(definition: &crate::definition::Definition, run: &Run) -> Option<String> {
    use crate::run::Phase;
    if run.state.is_finished() {
        return None;
    }
    let mut steps = definition.steps.iter();
    let open = |step: &&crate::definition::Step| {
        let touched = run.step(&step.step);
        if run.compensating {
            touched.forward.phase != Phase::Untouched
                && step.compensation.is_some()
                && touched.compensation.phase != Phase::Done
        } else {
            touched.forward.phase != Phase::Done
        }
    };
    if run.compensating { steps.rfind(open) } else { steps.find(open) }.map(|step| step.step.clone())
}

/// What a move comes to.
enum Made {
    Entries(Vec<Entry>),
    /// What it was about to do is not due any more.
    NotDue,
    WantsChild(Due, Wait),
}

/// Where a move stands against the journal as it is now.
enum Standing {
    Held(Run),
    Done(Run),
    Superseded,
}

/// Folds what others have appended meanwhile. A move that is found written was ours: its COMMIT's answer was lost.
fn catch_up(of: &Move, written: &[Written], token_holds: bool) -> Result<Standing, ReadError> {
    let mut run = of.run.clone();
    let mut done = false;
    for (recorded, move_id) in written {
        done |= *move_id == of.id;
        run.apply(recorded)?;
    }
    Ok(match (done, token_holds) {
        // an intent that is found written by a claim that is lost meanwhile allows no call any more
        (true, false) if of.what.is_in_call() => Standing::Superseded,
        (true, _) => Standing::Done(run),
        (false, true) => Standing::Held(run),
        (false, false) => Standing::Superseded,
    })
}

/// Locks the wake-ups of all sagas of a batch, in one order, and tells whose claims they are.
async fn lock_claims(tx: &mut PgConnection, moves: &[&Move]) -> Result<HashMap<SagaId, Option<i64>>, sqlx::Error> {
    let saga_ids: Vec<_> = moves.iter().map(|of| of.run.saga_id.0).collect();
    let rows = sqlx::query!(
        "select saga_id, token from engine.ready where saga_id = any($1::uuid[]) order by saga_id for update",
        &saga_ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (SagaId(row.saga_id), row.token)).collect())
}

/// What has been appended to the sagas of a batch since their holders looked.
async fn news(
    tx: &mut PgConnection,
    moves: &[&Move],
) -> Result<HashMap<SagaId, Result<Vec<Written>, ReadError>>, sqlx::Error> {
    let saga_ids: Vec<_> = moves.iter().map(|of| of.run.saga_id.0).collect();
    let rows = sqlx::query!("select saga_id, seq from engine.sagas where saga_id = any($1::uuid[])", &saga_ids)
        .fetch_all(&mut *tx)
        .await?;
    let seqs: HashMap<_, _> = rows.into_iter().map(|row| (row.saga_id, row.seq)).collect();
    let behind: Vec<_> = moves
        .iter()
        .filter(|of| seqs.get(&of.run.saga_id.0).is_some_and(|seq| *seq > of.run.seq))
        .map(|of| (of.run.saga_id, of.run.seq))
        .collect();
    if behind.is_empty() {
        return Ok(HashMap::new());
    }
    store::journals_after(tx, &behind).await
}

/// Runs a local action behind a savepoint: whatever it answers but done leaves nothing behind.
async fn run_local(
    tx: &mut PgConnection,
    action: &dyn AnyLocal,
    call: &Call,
    input: &Value,
    timeout: std::time::Duration,
) -> Result<Answer<Value>, sqlx::Error> {
    let mut savepoint = tx.begin().await?;
    let running = AssertUnwindSafe(action.run(&mut savepoint, call, input.clone())).catch_unwind();
    let answer = match tokio::time::timeout(timeout, running).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(Halt::transient("panic", "the action panicked; see the log")),
        Err(_) => Err(Halt::transient("timeout", "the action took too long")),
    };
    if answer.is_ok() {
        savepoint.commit().await?;
    } else {
        savepoint.rollback().await?;
    }
    Ok(answer)
}
