//! The committer's work: moves of many sagas in one transaction, each fenced by its claim's token and ordered by
//! its journal's `seq`.

mod children;

pub(crate) use children::{SIGNAL_TOPIC, tell_waiters};

use crate::{
    action::{Answer, AnyLocal, Call, Failure, Halt, Probed},
    catalog::Known,
    group_commit::Work,
    ids::SagaId,
    journal::{Entry, Moment, Recorded, StuckCause},
    judge::{Chance, Judge},
    plan::{self, Due, Next},
    projection::{Moved, Projection},
    run::{Corrupt, Run},
    start::Prepared,
    store::{self, Append, Row, Schedule, Written},
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
}

/// A move of one saga under one claim.
pub(crate) struct Move {
    pub(crate) id: Uuid,
    pub(crate) token: i64,
    pub(crate) run: Run,
    pub(crate) known: Arc<Known>,
    pub(crate) priority: i16,
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
    /// The journal does not read.
    Corrupt(Corrupt),
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
        let news = news(tx, &moves).await?;
        let mut appends = Vec::new();
        let mut moved = Vec::new();
        for (index, of) in wave.iter().zip(&moves) {
            let saga_id = of.run.saga_id;
            let token_holds = tokens.get(&saga_id).copied().flatten() == Some(of.token);
            let written = news.get(&saga_id).map_or(&[][..], Vec::as_slice);
            let outcome = match catch_up(of, written, token_holds) {
                Err(corrupt) => Outcome::Corrupt(corrupt),
                Ok(Standing::Superseded) => Outcome::Superseded,
                Ok(Standing::Done(run)) => {
                    let next = plan::plan(&of.known.definition, &run, now);
                    Outcome::Moved { run: Box::new(run), next, interrupted: false }
                }
                Ok(Standing::Held(run)) => {
                    let held = Held { of, run };
                    match self.record(tx, held, now, &mut appends, &mut moved).await? {
                        Ok(outcome) => outcome,
                        Err(corrupt) => Outcome::Corrupt(corrupt),
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
            Some(written) => entries = written,
            None => interrupted = true,
        }
        for (seq, entry) in (run.seq + 1..).zip(&entries) {
            if let Err(corrupt) = run.apply(&Recorded { seq, at: now, entry: entry.clone() }) {
                return Ok(Err(corrupt));
            }
        }
        let in_call = matches!(of.what, What::Intend { .. } | What::Note { .. });
        interrupted |= in_call && run.cancel.is_some() && !run.compensating;
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
        let row = Row::of(&run, &next, current_step(definition, &run), |index| definition.steps[index].step.clone());
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
            priority: of.priority,
        });
        Ok(Ok(Outcome::Moved { run: Box::new(run), next, interrupted }))
    }

    /// What a move appends; none when what it is about to do is not due any more.
    async fn entries(
        &self,
        tx: &mut PgConnection,
        of: &Move,
        run: &Run,
        now: Moment,
    ) -> Result<Option<Vec<Entry>>, sqlx::Error> {
        let definition = &of.known.definition;
        let judge = |due: Due| Judge { definition, run, due, now, chance: self.chance.as_ref() };
        let still_due = |due: Due| match plan::plan(definition, run, now) {
            Next::Run(next) => next.step == due.step && next.lane == due.lane,
            _ => false,
        };
        let name = |due: Due| definition.steps[due.step].step.clone();
        Ok(Some(match &of.what {
            What::Decide => Vec::new(),
            What::Intend { due, .. } if !still_due(*due) => return Ok(None),
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
            What::Local { due, .. } if !still_due(*due) => return Ok(None),
            What::Local { due, call, input, action } => {
                let answer = run_local(tx, action.as_ref(), call, input, definition.steps[due.step].timeout).await?;
                judge(*due).answered(&answer)
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

/// Where a move stands against the journal as it is now.
enum Standing {
    Held(Run),
    Done(Run),
    Superseded,
}

/// Folds what others have appended meanwhile. A move that is found written was ours: its COMMIT's answer was lost.
fn catch_up(of: &Move, written: &[Written], token_holds: bool) -> Result<Standing, Corrupt> {
    let mut run = of.run.clone();
    let mut done = false;
    for (recorded, move_id) in written {
        done |= *move_id == of.id;
        run.apply(recorded)?;
    }
    Ok(if done {
        Standing::Done(run)
    } else if token_holds {
        Standing::Held(run)
    } else {
        Standing::Superseded
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
async fn news(tx: &mut PgConnection, moves: &[&Move]) -> Result<HashMap<SagaId, Vec<Written>>, sqlx::Error> {
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
    let journals = store::journals_after(tx, &behind).await?;
    let mut news = HashMap::new();
    for (saga_id, journal) in journals {
        match journal {
            Ok(entries) => drop(news.insert(saga_id, entries)),
            Err(error) => tracing::error!(saga.id = %saga_id, error = %error, "Saga {saga_id} cannot be read: {error}"),
        }
    }
    Ok(news)
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
