//! Claims and leases: who may move a saga, and until when.

use crate::ids::SagaId;
use sqlx::PgPool;
use uuid::Uuid;

/// After so many claims without progress a saga is stuck: every worker that took it died.
pub(crate) const CLAIMS_MAX: i32 = 5;
/// How long a saga that this process cannot read is left to others.
const PUT_OFF_SECS: i32 = 30;

/// A saga that is ours until the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimRow {
    pub(crate) saga_id: SagaId,
    pub(crate) token: i64,
    pub(crate) claims: i32,
}

/// Claims up to `limit` sagas that are due and nobody's.
pub(crate) async fn claim(
    pool: &PgPool,
    worker: &str,
    limit: i64,
    lease_secs: i32,
) -> Result<Vec<ClaimRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "update engine.ready set
             token = nextval('engine.claim_tokens'), worker = $1, claims = claims + 1,
             lease_until = clock_timestamp() + make_interval(secs => $3::int4)
         -- an array of ids: joining the subquery instead makes a hash join over the whole table
         where saga_id = any(array(
             select saga_id from engine.ready
             where wake_at <= clock_timestamp() and lease_until <= clock_timestamp()
             order by priority desc, wake_at limit $2 for update skip locked))
         returning saga_id, token, claims",
        worker,
        limit,
        lease_secs,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some(ClaimRow { saga_id: SagaId(row.saga_id), token: row.token?, claims: row.claims }))
        .collect())
}

/// Extends the leases of `held`, and tells which of them are still ours.
pub(crate) async fn renew(pool: &PgPool, held: &[(SagaId, i64)], lease_secs: i32) -> Result<Vec<SagaId>, sqlx::Error> {
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
pub(crate) async fn hand_back(pool: &PgPool, held: &[(SagaId, i64)]) -> Result<(), sqlx::Error> {
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

/// Gives a claim back that this process cannot run: it is tried again later, perhaps by another release, and does
/// not count towards those whose workers died.
pub(crate) async fn put_off(pool: &PgPool, row: &ClaimRow) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.ready set lease_until = '-infinity', token = null, worker = null,
                                 claims = greatest(claims - 1, 0),
                                 wake_at = clock_timestamp() + make_interval(secs => $3::int4)
         where saga_id = $1 and token = $2",
        row.saga_id.0,
        row.token,
        PUT_OFF_SECS,
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
pub(crate) async fn sweep(pool: &PgPool) -> Result<u64, sqlx::Error> {
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
