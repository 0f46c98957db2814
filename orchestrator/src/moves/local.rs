//! Local actions, run inside the transaction of their moves: those that can, for many sagas at once.

use super::{Move, What, decide::Decider, standing::Standing};
use crate::{
    action::{Answer, AnyLocal, Call, Halt},
    execute::{LocalStep, half},
    store::{ReadError, Store, Tx},
    watch::Watch,
};
use futures::FutureExt;
use serde_json::Value;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// One local action that is due.
struct Due<'a, S: Store> {
    /// Which of the moves it is.
    index: usize,
    action: &'a Arc<dyn AnyLocal<S>>,
    call: &'a Call,
    input: &'a Value,
    timeout: Duration,
}

/// The answers of local actions, by the places of their moves.
pub(super) type Answers = Vec<Option<Answer<Value>>>;

/// The answers of the local actions that moves were made for, as far as these are still due.
pub(super) async fn answers<S: Store>(
    tx: &mut S::Tx,
    decider: &Decider<'_>,
    watch: &Watch,
    moves: &[&Move<S>],
    standings: &[Result<Standing, ReadError>],
) -> Result<Answers, sqlx::Error> {
    let mut due: Vec<Due<'_, S>> = Vec::new();
    for (index, (of, standing)) in moves.iter().zip(standings).enumerate() {
        if let (What::Local { due: at, call, input, action }, Ok(Standing::Held(run))) = (&of.what, standing)
            && decider.still_due(of, run, *at)
        {
            let (_, timeout) = half(&of.known.definition.steps[at.step], at.lane);
            due.push(Due { index, action, call, input, timeout });
        }
    }
    run_all(tx, watch, due, moves.len()).await
}

/// The answers of the steps that moves go on with.
pub(super) async fn next_answers<S: Store>(
    tx: &mut S::Tx,
    watch: &Watch,
    steps: &[(usize, LocalStep<S>)],
    moves: usize,
) -> Result<Answers, sqlx::Error> {
    let due = steps.iter().map(|(index, step)| Due {
        index: *index,
        action: &step.action,
        call: &step.call,
        input: &step.input,
        timeout: step.timeout,
    });
    run_all(tx, watch, due.collect(), moves).await
}

/// Runs what is due, action by action.
async fn run_all<S: Store>(
    tx: &mut S::Tx,
    watch: &Watch,
    mut due: Vec<Due<'_, S>>,
    moves: usize,
) -> Result<Answers, sqlx::Error> {
    let mut answers: Answers = (0..moves).map(|_| None).collect();
    while let Some(first) = due.first() {
        let action = Arc::clone(first.action);
        let (same, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|one| Arc::ptr_eq(one.action, &action));
        due = others;
        for (one, answer) in same.iter().zip(run(tx, watch, action.as_ref(), &same).await?) {
            answers[one.index] = Some(answer);
        }
    }
    Ok(answers)
}

/// Runs one action for several sagas: at once if it can, else, or if that fails, one by one.
async fn run<S: Store>(
    tx: &mut S::Tx,
    watch: &Watch,
    action: &dyn AnyLocal<S>,
    due: &[Due<'_, S>],
) -> Result<Vec<Answer<Value>>, sqlx::Error> {
    if action.is_set_based()
        && let Some(answers) = run_set(tx, watch, action, due).await?
    {
        return Ok(answers);
    }
    let mut answers = Vec::with_capacity(due.len());
    for one in due {
        answers.push(run_one(tx, watch, action, one).await?);
    }
    Ok(answers)
}

/// None: it was undone, and nothing is known of any of them.
async fn run_set<S: Store>(
    tx: &mut S::Tx,
    watch: &Watch,
    action: &dyn AnyLocal<S>,
    due: &[Due<'_, S>],
) -> Result<Option<Vec<Answer<Value>>>, sqlx::Error> {
    let calls: Vec<_> = due.iter().map(|one| (one.call, one.input)).collect();
    let timeout = due.iter().map(|one| one.timeout).max().unwrap_or_default();
    tx.save().await?;
    let watching: Vec<_> = due.iter().map(|one| watch.begin(one.call, timeout)).collect();
    let running = AssertUnwindSafe(action.run_set(tx, &calls)).catch_unwind();
    let ran = tokio::time::timeout(timeout, running).await;
    drop(watching);
    match ran {
        Ok(Ok(Ok(answers))) if answers.len() == due.len() => {
            tx.keep().await?;
            Ok(Some(answers))
        }
        _ => {
            tx.undo().await?;
            Ok(None)
        }
    }
}

/// Behind a savepoint: whatever it answers but done leaves nothing behind.
async fn run_one<S: Store>(
    tx: &mut S::Tx,
    watch: &Watch,
    action: &dyn AnyLocal<S>,
    due: &Due<'_, S>,
) -> Result<Answer<Value>, sqlx::Error> {
    tx.save().await?;
    let watching = watch.begin(due.call, due.timeout);
    let running = AssertUnwindSafe(action.run(tx, due.call, due.input.clone())).catch_unwind();
    let ran = tokio::time::timeout(due.timeout, running).await;
    drop(watching);
    let answer = match ran {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(Halt::transient("panic", "the action panicked; see the log")),
        Err(_) => Err(Halt::transient("timeout", "the action took too long")),
    };
    if answer.is_ok() {
        tx.keep().await?;
    } else {
        tx.undo().await?;
    }
    Ok(answer)
}
