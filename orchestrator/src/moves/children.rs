//! A saga that waits for another one: started by key in the transaction of the wait, and told of the end through
//! the outbox.

use super::Move;
use crate::{
    action::Wait,
    ids::SagaId,
    journal::Entry,
    outbox::{self, Message},
    run::Run,
    saga::State,
    start::{self, Prepared},
    store::Append,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::collections::HashMap;

/// The topic of signals from saga to saga.
pub(crate) const SIGNAL_TOPIC: &str = "engine.signal";

/// Starts the sagas that these moves wait for, or finds them by their keys.
pub(super) async fn start(
    tx: &mut PgConnection,
    appends: &[Append],
    moves: &HashMap<SagaId, &Move>,
) -> Result<(), sqlx::Error> {
    for append in appends {
        let key = append.entries.iter().find_map(|entry| match entry {
            Entry::Waits { wait: Wait { child: Some(child), .. }, .. } => Some(child.key.as_str()),
            _ => None,
        });
        let prepared = moves.get(&append.run.saga_id).and_then(|of| of.child.as_ref());
        if let (Some(key), Some(prepared)) = (key, prepared) {
            wait_for(tx, append.run.saga_id, key, prepared).await?;
        }
    }
    Ok(())
}

async fn wait_for(tx: &mut PgConnection, parent: SagaId, key: &str, prepared: &Prepared) -> Result<(), sqlx::Error> {
    let child = start::start_in_tx(tx, prepared).await?.saga_id();
    // Its row is locked, so that its end comes either before this (and is seen here) or after (and sees the wait).
    let finished = sqlx::query_scalar!(
        r#"select finished_at is not null as "finished!" from engine.sagas where saga_id = $1 for update"#,
        child.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    if finished == Some(true) {
        let journal = crate::store::journal(tx, child).await;
        let run = journal.ok().and_then(|journal| Run::replay(child, &journal).ok());
        let payload = run.as_ref().map_or_else(|| json!({ "sagaId": child }), ending);
        return outbox::enqueue_in_tx(tx, &[signal(parent, key, &payload)]).await;
    }
    sqlx::query!(
        "insert into engine.child_waits (child_id, parent_id, key) values ($1, $2, $3) on conflict do nothing",
        child.0,
        parent.0,
        key
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Tells those who wait for the sagas that end with these moves.
pub(crate) async fn tell_waiters(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    let finished: HashMap<_, _> = appends
        .iter()
        .filter(|append| append.run.state.is_finished())
        .map(|append| (append.run.saga_id.0, &append.run))
        .collect();
    if finished.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = finished.keys().copied().collect();
    let waiting = sqlx::query!(
        "delete from engine.child_waits where child_id = any($1::uuid[]) returning child_id, parent_id, key",
        &ids
    )
    .fetch_all(&mut *tx)
    .await?;
    let messages: Vec<_> = waiting
        .iter()
        .filter_map(|wait| Some(signal(SagaId(wait.parent_id), &wait.key, &ending(finished.get(&wait.child_id)?))))
        .collect();
    outbox::enqueue_in_tx(tx, &messages).await
}

fn signal(parent: SagaId, key: &str, payload: &Value) -> Message {
    let name = Wait::child_signal(key);
    Message { topic: SIGNAL_TOPIC.to_owned(), payload: json!({ "sagaId": parent, "name": name, "payload": payload }) }
}

/// How a saga ended, for those who waited.
fn ending(run: &Run) -> Value {
    let failure = if run.state == State::Completed { None } else { run.cause.as_ref() };
    json!({ "sagaId": run.saga_id, "state": run.state, "outputs": run.outputs(), "failure": failure })
}
