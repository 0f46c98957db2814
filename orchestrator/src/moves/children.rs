//! Sagas that sagas start, by key: those that they wait for, in the transaction of the wait, so that they are told of
//! the end through the outbox; and those that they leave to go their own way, in the transaction of a note.

use super::{Move, What};
use crate::{
    action::Wait,
    ids::SagaId,
    journal::Entry,
    outbox::{Destination, Message},
    run::Run,
    saga::State,
    start::{self, Prepared},
    store::{self, Append, Store, Tx},
};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The topic of signals from saga to saga.
pub(crate) const SIGNAL_TOPIC: &str = "engine.signal";

/// Starts the sagas that these moves bring along, or finds them by their keys.
pub(super) async fn start<S: Store>(
    tx: &mut S::Tx,
    appends: &[Append],
    moves: &HashMap<SagaId, &Move<S>>,
) -> Result<(), sqlx::Error> {
    for append in appends {
        let Some(of) = moves.get(&append.run.saga_id) else { continue };
        let Some(prepared) = &of.child else { continue };
        if matches!(of.what, What::Note { .. }) && !append.entries.is_empty() {
            start::start(tx, prepared).await?;
            continue;
        }
        let key = append.entries.iter().find_map(|entry| match entry {
            Entry::Waits { wait: Wait { child: Some(child), .. }, .. } => Some(child.key.as_str()),
            _ => None,
        });
        if let Some(key) = key {
            wait_for(tx, append.run.saga_id, key, prepared).await?;
        }
    }
    Ok(())
}

async fn wait_for<T: Tx + ?Sized>(
    tx: &mut T,
    parent: SagaId,
    key: &str,
    prepared: &Prepared,
) -> Result<(), sqlx::Error> {
    let child = start::start(tx, prepared).await?.saga_id();
    if !tx.wait_for_end(child, parent, key).await? {
        return Ok(());
    }
    let journal = store::journal(tx, child).await;
    let run = journal.ok().and_then(|journal| Run::replay(child, &journal).ok());
    let payload = run.as_ref().map_or_else(|| json!({ "sagaId": child }), ending);
    tx.enqueue(&[signal(parent, key, &payload)]).await
}

/// Tells those who wait for the sagas that end with these moves.
pub(crate) async fn tell_waiters<T: Tx + ?Sized>(tx: &mut T, appends: &[Append]) -> Result<(), sqlx::Error> {
    let finished: HashMap<_, _> = appends
        .iter()
        .filter(|append| append.run.state.is_finished())
        .map(|append| (append.run.saga_id, append.run.as_ref()))
        .collect();
    if finished.is_empty() {
        return Ok(());
    }
    let ended: Vec<_> = finished.keys().copied().collect();
    let told = |waiter: &store::Waiter| Some(signal(waiter.parent, &waiter.key, &ending(finished.get(&waiter.child)?)));
    let messages: Vec<_> = tx.take_waiters(&ended).await?.iter().filter_map(told).collect();
    tx.enqueue(&messages).await
}

fn signal(parent: SagaId, key: &str, payload: &Value) -> Message {
    let name = Wait::child_signal(key);
    Message {
        topic: SIGNAL_TOPIC.to_owned(),
        payload: json!({ "sagaId": parent, "name": name, "payload": payload }),
        destination: Destination::Inside,
    }
}

/// How a saga ended, for those who waited.
fn ending(run: &Run) -> Value {
    let failure = if run.state == State::Completed { None } else { run.cause.as_ref() };
    json!({ "sagaId": run.saga_id, "state": run.state, "outputs": run.outputs(), "failure": failure })
}
