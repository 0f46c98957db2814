//! When each saga of a batch of moves is looked at next.

use crate::store::{Append, Schedule};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub(super) async fn schedule(tx: &mut PgConnection, appends: &[Append], lease_secs: i32) -> Result<(), sqlx::Error> {
    keep(tx, appends, lease_secs).await?;
    release(tx, appends).await?;
    nudge(tx, appends).await?;
    let resting: Vec<_> =
        appends.iter().filter(|append| append.schedule == Schedule::Rest).map(|append| append.run.saga_id.0).collect();
    if !resting.is_empty() {
        sqlx::query!("delete from engine.ready where saga_id = any($1::uuid[])", &resting).execute(tx).await?;
    }
    Ok(())
}

/// Claims that go on.
async fn keep(tx: &mut PgConnection, appends: &[Append], lease_secs: i32) -> Result<(), sqlx::Error> {
    let kept: Vec<_> = appends.iter().filter(|append| append.schedule == Schedule::Keep).collect();
    if kept.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update engine.ready r set claims = case when m.progress then 0 else claims end,
                                   lease_until = clock_timestamp() + make_interval(secs => $3::int4)
         from unnest($1::uuid[], $2::bool[]) as m (saga_id, progress)
         where r.saga_id = m.saga_id",
        &kept.iter().map(|append| append.run.saga_id.0).collect::<Vec<_>>(),
        &kept.iter().map(|append| append.progress).collect::<Vec<_>>(),
        lease_secs,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Claims that end: the saga is due again at a time, or when something wakes it. A claim that ends in order does not
/// count towards those whose workers died, even when it has brought the saga no further.
async fn release(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    let mut saga_ids = Vec::new();
    let (mut wakes, mut progress) = (Vec::new(), Vec::new());
    for append in appends {
        if let Schedule::Wake(at) = append.schedule {
            saga_ids.push(append.run.saga_id.0);
            wakes.push(at);
            progress.push(append.progress);
        }
    }
    if saga_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update engine.ready r set claims = case when m.progress then 0 else greatest(claims - 1, 0) end,
                                   token = null, worker = null, lease_until = '-infinity',
                                   wake_at = coalesce(m.wake_at, 'infinity')
         from unnest($1::uuid[], $2::timestamptz[], $3::bool[]) as m (saga_id, wake_at, progress)
         where r.saga_id = m.saga_id",
        &saga_ids,
        &wakes as &[Option<DateTime<Utc>>],
        &progress,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Sagas that somebody other than their worker has moved.
async fn nudge(tx: &mut PgConnection, appends: &[Append]) -> Result<(), sqlx::Error> {
    let nudged: Vec<_> =
        appends.iter().filter(|append| append.schedule == Schedule::Nudge).map(|append| append.run.saga_id.0).collect();
    if nudged.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into engine.ready (saga_id, priority, wake_at)
         select saga_id, priority, clock_timestamp() from engine.sagas where saga_id = any($1::uuid[])
         on conflict (saga_id) do update set wake_at = excluded.wake_at, claims = 0",
        &nudged,
    )
    .execute(tx)
    .await
    .map(drop)
}
