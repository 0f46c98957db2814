//! Recording what attempts came to, through the committer, until it is known what became of each move.

use super::{Claimed, Engine, MOVES_PER_CLAIM_MAX, Settled};
use crate::{
    action::{Failure, Halt, Lane},
    catalog::Known,
    execute::Report,
    group_commit::CommitError,
    moves::{Move, Outcome, What},
    plan::Next,
    run::{Phase, Run},
    start::Prepared,
    store::Store,
};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Between two tries to record a move while the database is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

impl<S: Store> Engine<S> {
    /// Records what an attempt came to, and with it all decisions that follow. Waits out an absent database: an
    /// answer of the outside world is never dropped while the claim is ours.
    pub async fn settle(&self, mut claimed: Claimed, report: Report<S>) -> Settled {
        if report.superseded {
            return self.superseded(&claimed);
        }
        claimed.moves += 1;
        let mut outcome = self.commit_report(report, &claimed).await;
        if let Outcome::WantsChild(due, wait) = outcome {
            let report = self.waits(&claimed.run, due, wait).await;
            outcome = self.commit_report(report, &claimed).await;
        }
        match outcome {
            Outcome::Moved { run, next, .. } => {
                tell(claimed.step().as_deref(), &claimed.run, &run);
                claimed.run = run;
                claimed.hold.clear();
                claimed.run.count_when_finished();
                if matches!(next, Next::Run(_) | Next::Probe(_)) && claimed.moves < MOVES_PER_CLAIM_MAX {
                    return Settled::Continue(claimed);
                }
                self.let_go(&claimed);
                Settled::Released
            }
            Outcome::Superseded | Outcome::WantsChild(..) => self.superseded(&claimed),
            Outcome::Unreadable(error) => {
                tracing::error!(saga.id = %claimed.saga_id(), error = %error, "Saga {} cannot be moved: {error}", claimed.saga_id());
                self.let_go(&claimed);
                Settled::Released
            }
        }
    }

    fn superseded(&self, claimed: &Claimed) -> Settled {
        tracing::info!(saga.id = %claimed.saga_id(), "The claim on saga {} was lost; nothing was written", claimed.saga_id());
        self.let_go(claimed);
        Settled::Superseded
    }

    async fn commit_report(&self, report: Report<S>, claimed: &Claimed) -> Outcome {
        let of = self.move_of(&claimed.run, claimed.token, &claimed.known, report.what);
        let may_continue = claimed.moves < MOVES_PER_CLAIM_MAX;
        // after a death every step is alone: what killed the worker must not take those before it back
        let alone = claimed.claims > 1;
        self.commit(Move { child: report.child, may_continue, alone, ..of }, claimed).await
    }

    /// Submits a move until its fate is known or the claim is lost.
    async fn commit(&self, of: Move<S>, claimed: &Claimed) -> Outcome {
        let mut of = Arc::new(of);
        loop {
            match self.0.moves.submit(Arc::clone(&of)).await {
                Ok(outcome) => return outcome,
                Err(CommitError::Stopped) => return Outcome::Superseded,
                Err(_) if claimed.is_lost() => return Outcome::Superseded,
                Err(CommitError::Away(error)) => {
                    tracing::warn!(saga.id = %claimed.saga_id(), error = %error, "The database is away; saga {} waits for it", claimed.saga_id());
                    tokio::time::sleep(AWAY_PAUSE).await;
                }
                Err(CommitError::Refused(error)) => {
                    tracing::error!(saga.id = %claimed.saga_id(), error = %error, "The database refuses a move of saga {}: {error}", claimed.saga_id());
                    match of.refused(self.fresh_id(), &error) {
                        Some(instead) => of = Arc::new(instead),
                        None => return Outcome::Superseded,
                    }
                }
            }
        }
    }

    /// Appends an intent or a note.
    pub(crate) async fn append_in_call(&self, claimed: &Claimed, what: What<S>, child: Option<Prepared>) -> Outcome {
        let of = self.move_of(&claimed.run, claimed.token, &claimed.known, what);
        match self.0.moves.submit(Arc::new(Move { child, ..of })).await {
            Ok(outcome) => outcome,
            // no call follows an intent that may not be written
            Err(error) => {
                let saga_id = claimed.saga_id();
                tracing::warn!(saga.id = %saga_id, error = %error, "An intent of saga {saga_id} could not be committed: {error}");
                Outcome::Superseded
            }
        }
    }

    fn move_of(&self, run: &Arc<Run>, token: i64, known: &Arc<Known>, what: What<S>) -> Move<S> {
        Move {
            id: self.fresh_id(),
            token,
            run: Arc::clone(run),
            known: Arc::clone(known),
            what,
            child: None,
            may_continue: false,
            alone: false,
        }
    }
}

/// Says in the turn's span what has become of the step that it was about, and which were done: local ones go along.
fn tell(own: Option<&str>, before: &Run, after: &Run) {
    let turn = tracing::Span::current();
    if turn.is_disabled() {
        return;
    }
    let (mut done, mut told) = (Vec::new(), false);
    for (name, step) in &after.steps {
        let known = before.step(name);
        for lane in [Lane::Forward, Lane::Compensation] {
            let (was, is) = (known.lane(lane), step.lane(lane));
            if was.phase == is.phase && was.attempt == is.attempt {
                continue;
            }
            // what is compensated, or begun, in the same move is not what the turn was about
            if own == Some(name.as_str()) && !told {
                turn.record("attempt.number", is.attempt).record("step.outcome", outcome(&is.phase));
                told = true;
            }
            if is.phase == Phase::Done {
                done.push(name.as_str());
            }
        }
    }
    turn.record("steps.done", done.join(" "));
}

/// What has become of a step, for traces.
fn outcome(phase: &Phase) -> &'static str {
    match phase {
        Phase::Untouched => "untouched",
        Phase::Open => "open",
        Phase::Retry(_) => "retry",
        Phase::Doubt(_) => "inDoubt",
        Phase::Waiting(_) => "waiting",
        Phase::Parked { .. } => "parked",
        Phase::Done => "done",
        Phase::Failed { .. } => "failed",
    }
}

impl<S: Store> Move<S> {
    /// What to record instead of a move that the database refuses; none when nothing is left to say.
    fn refused(&self, id: Uuid, error: &sqlx::Error) -> Option<Self> {
        let failure = Failure::new("refused-by-database", error.to_string());
        let what = match &self.what {
            // which of the steps it was is found out by each of them alone
            What::Local { .. } if self.takes_more_along() => self.what.clone(),
            What::Local { due, .. } => {
                let halt = Halt::Transient { failure, after: None };
                What::Answered { due: *due, answer: Err(halt) }
            }
            What::Answered { due, answer: Ok(_) } => What::Answered { due: *due, answer: Err(Halt::InDoubt(failure)) },
            What::Probed { due, found: Ok(_) } => What::Probed { due: *due, found: Err(Halt::InDoubt(failure)) },
            _ => return None,
        };
        Some(Self {
            id,
            token: self.token,
            run: Arc::clone(&self.run),
            known: Arc::clone(&self.known),
            what,
            child: self.child.clone(),
            may_continue: self.may_continue,
            alone: true,
        })
    }
}
