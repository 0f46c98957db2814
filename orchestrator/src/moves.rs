//! The committer's work: moves of many sagas in one transaction, each fenced by its claim's token and ordered by
//! its journal's `seq`.

mod children;
mod decide;
mod local;
mod standing;

pub(crate) use children::{SIGNAL_TOPIC, tell_waiters};
pub(crate) use decide::current_step;

use crate::{
    action::{Answer, AnyLocal, Call, Failure, Halt, Probed, Registry, Wait},
    catalog::Known,
    execute::local_step,
    group_commit::Work,
    ids::SagaId,
    journal::StuckCause,
    judge::Chance,
    plan::{Due, Next},
    projection::{Moved, Projection},
    run::Run,
    start::Prepared,
    store::{ReadError, Store, Tx},
    watch::Watch,
};
use async_trait::async_trait;
use decide::{Decider, Making};
use serde_json::Value;
use standing::{Standing, catch_up};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use uuid::Uuid;

/// What a claim's holder wants recorded.
#[derive(Clone)]
pub(crate) enum What<S: Store> {
    /// Nothing but the decisions that follow.
    Decide,
    /// An external attempt is about to be made, if it is still due.
    Intend { due: Due, intent: Value },
    /// Something learned in the middle of one; not when a signal stands behind the entry `unless_told_after`.
    Note { due: Due, note: Value, unless_told_after: Option<i64> },
    /// An action has answered.
    Answered { due: Due, answer: Answer<Value> },
    /// A probe has answered.
    Probed { due: Due, found: Answer<Probed<Value>> },
    /// A local action, to be run in this very transaction, if it is still due.
    Local { due: Due, call: Box<Call>, input: Value, action: Arc<dyn AnyLocal<S>> },
    /// It cannot go on without a person.
    Stop { step: Option<String>, cause: StuckCause, failure: Failure },
}

impl<S: Store> What<S> {
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
pub(crate) struct Move<S: Store> {
    pub(crate) id: Uuid,
    pub(crate) token: i64,
    pub(crate) run: Arc<Run>,
    pub(crate) known: Arc<Known>,
    pub(crate) what: What<S>,
    /// The saga that its answer waits for, or that its note leaves to go its own way; ready to be started.
    pub(crate) child: Option<Prepared>,
    /// Whether the claim may go on to the next step.
    pub(crate) may_continue: bool,
    /// It takes no other step along: with others it was refused, or its worker died.
    pub(crate) alone: bool,
}

impl<S: Store> Move<S> {
    pub(crate) fn takes_more_along(&self) -> bool {
        !self.alone && self.may_continue && matches!(self.what, What::Local { .. })
    }
}

/// What became of a move.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is durable (or was already), or nothing was to be written.
    Moved {
        /// The saga now.
        run: Arc<Run>,
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
pub(crate) struct Moves<S: Store> {
    pub(crate) projection: Arc<dyn Projection<S>>,
    pub(crate) watch: Watch,
    pub(crate) chance: Arc<Chance>,
    pub(crate) lease_secs: i32,
    pub(crate) registry: Arc<Registry<S>>,
    /// How many local steps of one saga share a transaction.
    pub(crate) local_steps_max: u32,
    pub(crate) committed: Arc<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl<S: Store> Work<S> for Moves<S> {
    const NAME: &'static str = "moves";
    type Item = Move<S>;
    type Answer = Outcome;

    async fn apply(&self, tx: &mut S::Tx, items: &[Arc<Move<S>>]) -> Result<Vec<Outcome>, sqlx::Error> {
        let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
        let mut rest: Vec<usize> = (0..items.len()).collect();
        // A saga may be here twice (a note, and then the answer that gave up waiting for it): one wave each.
        while !rest.is_empty() {
            let mut seen = HashSet::new();
            let (wave, later): (Vec<usize>, Vec<usize>) =
                rest.into_iter().partition(|index| seen.insert(items[*index].run.saga_id));
            let moves: Vec<&Move<S>> = wave.iter().map(|index| items[*index].as_ref()).collect();
            for (index, outcome) in wave.into_iter().zip(self.apply_wave(tx, &moves).await?) {
                outcomes[index] = Some(outcome);
            }
            rest = later;
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn committed(&self) {
        (self.committed)();
    }
}

impl<S: Store> Moves<S> {
    /// Applies at most one move of each saga, and answers each in order.
    async fn apply_wave(&self, tx: &mut S::Tx, moves: &[&Move<S>]) -> Result<Vec<Outcome>, sqlx::Error> {
        let sagas: Vec<_> = moves.iter().map(|of| of.run.saga_id).collect();
        let seen: Vec<_> = moves.iter().map(|of| (of.run.saga_id, of.run.seq)).collect();
        let tokens = tx.lock_claims(&sagas).await?;
        let (mut news, now) = tx.news(&seen).await?;
        let decider = Decider { now, chance: self.chance.as_ref() };

        let standings = moves.iter().map(|of| {
            let token_holds = tokens.get(&of.run.saga_id).copied().flatten() == Some(of.token);
            let written = news.remove(&of.run.saga_id).unwrap_or_else(|| Ok(Vec::new()));
            written.and_then(|written| catch_up(of, &written, token_holds))
        });
        let standings: Vec<_> = standings.collect();
        let answers = local::answers(tx, &decider, &self.watch, moves, &standings).await?;

        let making = moves.iter().zip(standings).zip(answers).map(|((of, standing), answer)| match standing {
            Err(error) => Err(Outcome::Unreadable(error)),
            Ok(Standing::Superseded) => Err(Outcome::Superseded),
            Ok(Standing::Done(run)) => Err(decider.done(of, run)),
            Ok(Standing::Held(run)) => decider.begin(of, run, answer),
        });
        let making = self.go_on(tx, &decider, moves, making.collect()).await?;

        let mut outcomes = Vec::with_capacity(moves.len());
        let mut appends = Vec::new();
        for (of, making) in moves.iter().zip(making) {
            outcomes.push(match making {
                Err(outcome) => outcome,
                Ok(making) => {
                    let (outcome, append) = decider.finish(of, making);
                    appends.push(append);
                    outcome
                }
            });
        }
        tx.append(&appends, self.lease_secs).await?;
        let by_saga: HashMap<SagaId, &Move<S>> = moves.iter().map(|of| (of.run.saga_id, *of)).collect();
        children::start(tx, &appends, &by_saga).await?;
        children::tell_waiters(tx, &appends).await?;
        let grown = appends.iter().filter(|append| !append.entries.is_empty());
        let moved: Vec<_> =
            grown.filter_map(|append| Some(Moved::new(append, &by_saga.get(&append.run.saga_id)?.known))).collect();
        if !moved.is_empty() {
            self.projection.apply(tx, &moved).await?;
        }
        Ok(outcomes)
    }

    /// A move of a local step takes the local steps that follow it along: they have no effect outside of this
    /// transaction, so that a commit between them would promise nothing more.
    async fn go_on(
        &self,
        tx: &mut S::Tx,
        decider: &Decider<'_>,
        moves: &[&Move<S>],
        mut making: Vec<Result<Making, Outcome>>,
    ) -> Result<Vec<Result<Making, Outcome>>, sqlx::Error> {
        let mut going: Vec<usize> = (0..moves.len()).filter(|index| moves[*index].takes_more_along()).collect();
        for _ in 1..self.local_steps_max {
            let next = |index: &usize| {
                let (of, making) = (moves[*index], making[*index].as_ref().ok()?);
                let Next::Run(due) = making.next else { return None };
                let step = local_step(&self.registry, &of.known.definition, &making.run, due, decider.now)?;
                Some((*index, step))
            };
            let steps: Vec<_> = going.iter().filter_map(next).collect();
            if steps.is_empty() {
                break;
            }
            let mut answers = local::next_answers(tx, &self.watch, &steps, moves.len()).await?;
            going.clear();
            for (index, step) in steps {
                let Some(answer) = answers[index].take() else { continue };
                // the saga that it waits for has to be prepared outside of any transaction: a turn of its own does that
                if matches!(&answer, Err(Halt::Wait(wait)) if wait.child.is_some()) {
                    continue;
                }
                let begun = std::mem::replace(&mut making[index], Err(Outcome::Superseded));
                making[index] = begun.and_then(|making| decider.go_on(moves[index], making, step.due, answer));
                going.push(index);
            }
        }
        Ok(making)
    }
}
