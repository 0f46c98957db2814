//! Claims and leases: who may move a saga, and until when.

use crate::{
    ids::SagaId,
    store::{self, Claim, Journals, Stored, Taken},
};
use sqlx::{PgConnection, PgPool};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// Claims up to `limit` sagas that are due and nobody's, and reads their journals.
pub(super) async fn claim(pool: &PgPool, worker: &str, limit: usize, lease_secs: i32) -> Stored<Taken> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        r#"with claimed as (
             update engine.ready set
                 token = nextval('engine.claim_tokens'), worker = $1, claims = claims + 1,
                 lease_until = clock_timestamp() + make_interval(secs => $3::int4)
             -- an array of ids: joining the subquery instead makes a hash join over the whole table
             where saga_id = any(array(
                 select saga_id from engine.ready
                 where wake_at <= clock_timestamp() and lease_until <= clock_timestamp()
                 order by priority desc, wake_at limit $2 for update skip locked))
             returning saga_id, token, claims)
         select c.saga_id as "saga_id?", c.token as "token?", c.claims as "claims?",
                j.seq as "seq?", j.at as "at?", j.entry as "entry?", j.move_id as "move_id?",
                time.now as "now!"
         from (select clock_timestamp() as now) as time
         left join claimed c on true
         left join lateral (select * from engine.journal j where j.saga_id = c.saga_id order by j.seq offset 0) j on true"#,
        worker,
        limit,
        lease_secs,
    )
    .fetch_all(pool)
    .await?;
    let now = rows.first().map(|row| row.now).ok_or(sqlx::Error::RowNotFound)?;
    let mut claims: Vec<Claim> = Vec::new();
    let mut journals = Journals::new();
    for row in rows {
        let (Some(saga_id), Some(token), Some(count)) = (row.saga_id.map(SagaId), row.token, row.claims) else {
            continue;
        };
        journals.entry(saga_id).or_insert_with(|| {
            claims.push(Claim { saga_id, token, claims: count });
            Ok(Vec::new())
        });
        if let (Some(seq), Some(at), Some(entry), Some(move_id)) = (row.seq, row.at, row.entry, row.move_id) {
            store::collect(&mut journals, saga_id, seq, at, entry, move_id);
        }
    }
    Ok(Taken { claims, journals, now })
}

/// Extends the leases of `held`, and tells which of them are still ours.
pub(super) async fn renew(pool: &PgPool, held: &[(SagaId, i64)], lease_secs: i32) -> Stored<Vec<SagaId>> {
    let (saga_ids, tokens) = columns(held);
    let rows = sqlx::query_scalar!(
        "update engine.ready set lease_until = clock_timestamp() + make_interval(secs => $3::int4)
         -- locked in the order in which the committer does, or the two wait for each other
         where saga_id = any(array(
             select r.saga_id from unnest($1::uuid[], $2::int8[]) as m (saga_id, token)
             join engine.ready r on r.saga_id = m.saga_id and r.token = m.token
             order by r.saga_id for update of r))
         returning saga_id",
        &saga_ids,
        &tokens,
        lease_secs,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(SagaId).collect())
}

/// Gives claims back that were not begun: others take them at once.
pub(super) async fn hand_back(pool: &PgPool, held: &[(SagaId, i64)]) -> Stored<()> {
    let (saga_ids, tokens) = columns(held);
    sqlx::query!(
        "update engine.ready set lease_until = '-infinity', token = null, worker = null,
                                 claims = greatest(claims - 1, 0)
         where saga_id = any(array(
             select r.saga_id from unnest($1::uuid[], $2::int8[]) as m (saga_id, token)
             join engine.ready r on r.saga_id = m.saga_id and r.token = m.token
             order by r.saga_id for update of r))",
        &saga_ids,
        &tokens,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives claims back that this process does not run now: they are due again after `pause`, for any process, and do
/// not count towards those whose workers died.
pub(super) async fn put_off(pool: &PgPool, claims: &[Claim], pause: Duration) -> Stored<()> {
    let held: Vec<_> = claims.iter().map(|claim| (claim.saga_id, claim.token)).collect();
    let (saga_ids, tokens) = columns(&held);
    sqlx::query!(
        "update engine.ready set lease_until = '-infinity', token = null, worker = null,
                                 claims = greatest(claims - 1, 0),
                                 wake_at = clock_timestamp() + $3::int8 * interval '1 millisecond'
         where saga_id = any(array(
             select r.saga_id from unnest($1::uuid[], $2::int8[]) as m (saga_id, token)
             join engine.ready r on r.saga_id = m.saga_id and r.token = m.token
             order by r.saga_id for update of r))",
        &saga_ids,
        &tokens,
        i64::try_from(pause.as_millis()).unwrap_or(i64::MAX),
    )
    .execute(pool)
    .await?;
    Ok(())
}

fn columns(held: &[(SagaId, i64)]) -> (Vec<Uuid>, Vec<i64>) {
    held.iter().map(|(saga_id, token)| (saga_id.0, *token)).unzip()
}

/// Gives every saga that nobody owes anything, although it is neither finished nor with a person, a wake-up.
/// Tells how many there were: more than none is a mistake of ours, mended.
pub(super) async fn sweep(pool: &PgPool) -> Stored<u64> {
    let done = sqlx::query!(
        "insert into engine.ready (saga_id, priority, wake_at)
         select s.saga_id, s.priority, clock_timestamp() from engine.sagas s
         where s.state in ('running', 'waiting', 'compensating')
           and not exists (select from engine.ready r where r.saga_id = s.saga_id)
         order by s.saga_id limit 1000
         on conflict (saga_id) do nothing"
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Locks wake-ups in the order of their ids.
pub(super) async fn lock(tx: &mut PgConnection, sagas: &[SagaId]) -> Stored<HashMap<SagaId, Option<i64>>> {
    let saga_ids: Vec<_> = sagas.iter().map(|saga_id| saga_id.0).collect();
    let rows = sqlx::query!(
        "select saga_id, token from engine.ready where saga_id = any($1::uuid[]) order by saga_id for update",
        &saga_ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (SagaId(row.saga_id), row.token)).collect())
}

/// Locks a saga's wake-up, and then its projection.
pub(super) async fn lock_with_projection(tx: &mut PgConnection, saga: SagaId) -> Stored<()> {
    sqlx::query!("select saga_id from engine.ready where saga_id = $1 for update", saga.0)
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query!("select saga_id from engine.sagas where saga_id = $1 for update", saga.0).fetch_optional(tx).await?;
    Ok(())
}
