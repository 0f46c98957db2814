//! Sagas that wait for other ones' ends.

use crate::{
    ids::SagaId,
    store::{Stored, Waiter},
};
use sqlx::PgConnection;

pub(super) async fn wait_for_end(tx: &mut PgConnection, child: SagaId, parent: SagaId, key: &str) -> Stored<bool> {
    // Its row is locked, so that its end comes either before this (and is seen here) or after (and sees the wait).
    // One that has no row any more has ended long ago, and nobody will tell of it again.
    let finished = sqlx::query_scalar!(
        r#"select finished_at is not null as "finished!" from engine.sagas where saga_id = $1 for update"#,
        child.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    if finished.unwrap_or(true) {
        return Ok(true);
    }
    sqlx::query!(
        "insert into engine.child_waits (child_id, parent_id, key) values ($1, $2, $3) on conflict do nothing",
        child.0,
        parent.0,
        key
    )
    .execute(tx)
    .await?;
    Ok(false)
}

pub(super) async fn take_waiters(tx: &mut PgConnection, ended: &[SagaId]) -> Stored<Vec<Waiter>> {
    let ids: Vec<_> = ended.iter().map(|saga_id| saga_id.0).collect();
    let rows = sqlx::query!(
        "delete from engine.child_waits where child_id = any($1::uuid[]) returning child_id, parent_id, key",
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Waiter { child: SagaId(row.child_id), parent: SagaId(row.parent_id), key: row.key })
        .collect())
}
