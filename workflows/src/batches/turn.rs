//! Carries batches out, a little at each turn. Whoever dies in the middle of a turn leaves some of which nobody knows
//! whether they were acted on; they are taken again, and an act that was done before is not done twice.

use super::{
    BatchAct, BatchState, Work, replays,
    start::{abort_in_tx, work_of},
};
use crate::ids::{BatchId, RefundId};
use futures::{StreamExt, stream};
use orchestrator::{
    Engine,
    acts::{ActAnswer, ActError, ActRequest},
    ids::{SagaId, Uuid},
};
use sqlx::{PgConnection, PgPool};

/// How many acts of one process are carried out at once.
const ACTS_AT_ONCE: usize = 16;
/// How many acts one turn of one batch has at most, and all of its turns together that are not through.
const ACTS_PER_TURN: i64 = 500;
/// After how long an act of which nothing was heard is taken again.
const ACTING_SECS_MAX: i32 = 20;
/// A batch is not ended for its failures before it has this many results.
const RESULTS_MIN: i64 = 10;
/// How much of its rate a batch may catch up with, in seconds.
const CATCH_UP_SECS: i32 = 2;

/// One of a batch, taken for an act.
pub(super) struct Taken {
    pub(super) position: i32,
    saga_id: Option<SagaId>,
    pub(super) refund_id: Option<RefundId>,
    seq: i64,
    /// Whoever took it before may have acted on it.
    pub(super) is_again: bool,
}

/// What a batch is about, as far as its acts go.
pub(super) struct Order {
    pub(super) batch_id: BatchId,
    work: Work,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) address: Option<String>,
}

/// What came of one act.
pub(super) struct Acted {
    pub(super) position: i32,
    pub(super) state: &'static str,
    /// The saga that carries it out from here on, where it is another.
    pub(super) saga_id: Option<SagaId>,
    /// What comes behind that in the saga's journal came of the act.
    pub(super) seq: Option<i64>,
    pub(super) detail: Option<String>,
}

/// Hears what has become of earlier acts, and gives every running batch a turn.
///
/// # Errors
/// The database's.
pub async fn carry_out(engine: &Engine) -> Result<(), sqlx::Error> {
    settle_ended(engine.pool()).await?;
    hear(engine.pool()).await?;
    replays::hear(engine.pool()).await?;
    let running = sqlx::query_scalar!("select batch_id from booking.batches where state = 'running' order by batch_id")
        .fetch_all(engine.pool())
        .await?;
    for batch in running {
        turn(engine, BatchId(batch)).await?;
    }
    Ok(())
}

async fn turn(engine: &Engine, batch: BatchId) -> Result<(), sqlx::Error> {
    let Some((order, taken)) = take(engine.pool(), batch).await? else { return Ok(()) };
    let acts = taken.into_iter().map(|taken| one(engine, &order, taken));
    let acted: Vec<_> =
        stream::iter(acts).buffer_unordered(ACTS_AT_ONCE).filter_map(async |acted| acted).collect().await;
    write(engine.pool(), batch, &acted).await?;
    finish(engine.pool(), batch).await
}

/// Of a batch that was ended nobody takes again what a process has died with: where its saga has not moved nothing was done,
/// and otherwise what becomes of it is heard.
async fn settle_ended(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.batch_items i
         set state = case when moved.since is null then 'notAttempted' else 'acted' end,
             detail = case when moved.since is null then 'the batch was aborted' end,
             acted_seq = moved.since
         from (
             select a.batch_id, a.position, -- a refund that was begun anew is another saga's
                 case when s.saga_id <> a.saga_id then 0 when s.seq > a.seq then a.seq end as since
             from booking.batch_items a
             join booking.batches b on b.batch_id = a.batch_id
             left join booking.refunds r on r.refund_id = a.refund_id
             left join engine.saga_states s on s.saga_id = coalesce(r.saga_id, a.saga_id)
             where b.state = 'aborted' and a.state = 'acting' and a.acting_since < now() - make_interval(secs => $1)
             for update of a skip locked
         ) moved
         where i.batch_id = moved.batch_id and i.position = moved.position and i.state = 'acting'",
        f64::from(ACTING_SECS_MAX)
    )
    .execute(pool)
    .await
    .map(drop)
}

/// What has become of sagas that were acted on: fixed only when they are really past it.
async fn hear(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.batch_items i
         set state = heard.state, detail = heard.failure_code
         from (
             select a.batch_id, a.position, s.failure_code,
                 case
                     when b.act = 'cancel' and s.state = 'compensated' then 'fixed'
                     when b.act = 'retry' and s.state in ('completed', 'compensated') then 'fixed'
                     when s.finished_at is not null then 'failedAgain'
                     when s.state = 'stuck' and s.seq > a.acted_seq then 'failedAgain'
                     when b.act = 'retry' and s.state <> 'stuck' and s.step is distinct from a.step then 'fixed'
                 end as state
             from booking.batch_items a
             join booking.batches b on b.batch_id = a.batch_id
             join engine.saga_states s on s.saga_id = a.saga_id
             where a.state = 'acted' and a.refund_id is null
             -- two processes that hear at once each take their own
             for update of a skip locked
         ) heard
         where heard.state is not null and i.batch_id = heard.batch_id and i.position = heard.position
             and i.state = 'acted'"
    )
    .execute(pool)
    .await
    .map(drop)
}

/// Takes as many sagas as the batch's limits allow now. None: another process has it, or it is not running any more.
async fn take(pool: &PgPool, batch_id: BatchId) -> Result<Option<(Order, Vec<Taken>)>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query!(
        r#"select act, reason, started_by as "started_by!", address, rate_per_second, concurrency,
               abort_at_failure_permille,
               least(extract(epoch from now() - turned_at), $2::integer)::float8 as "since_secs!",
               (select count(*) from booking.batch_items i
                where i.batch_id = b.batch_id
                    -- whoever died with some leaves room for them to be taken again
                    and (i.state = 'acted'
                         or i.state = 'acting' and i.acting_since >= now() - make_interval(secs => $3))
                    -- what a gateway works on is on its way for days, and costs nobody anything
                    and not exists (
                        select from booking.refunds r where r.refund_id = i.refund_id and r.state = 'pending'
                    )) as "on_their_way!",
               (select count(*) from booking.batch_items i
                where i.batch_id = b.batch_id and i.state = 'acting'
                    and i.acting_since >= now() - make_interval(secs => $3)) as "acting!",
               (select count(*) from booking.batch_items i
                where i.batch_id = b.batch_id and i.state = 'fixed') as "fixed!",
               (select count(*) from booking.batch_items i
                where i.batch_id = b.batch_id and i.state = 'failedAgain') as "failed!"
           from booking.batches b where batch_id = $1 and state = 'running'
           for update skip locked"#,
        batch_id.0,
        CATCH_UP_SECS,
        f64::from(ACTING_SECS_MAX)
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if too_many_failures(row.failed, row.fixed, row.abort_at_failure_permille) {
        let reason = format!("{} of {} failed again", row.failed, row.failed + row.fixed);
        abort_in_tx(&mut tx, batch_id, &reason).await?;
        tx.commit().await?;
        return Ok(None);
    }
    // what earlier turns have not come to yet is not begun a second time by being late
    let room = (i64::from(row.concurrency) - row.on_their_way).min(ACTS_PER_TURN - row.acting);
    let next = may_begin(row.rate_per_second, row.since_secs, room);
    let taken = begin_in_tx(&mut tx, batch_id, next).await?;
    sqlx::query!(
        "update booking.batches
         set turned_at = greatest(turned_at, now() - make_interval(secs => $3))
             + make_interval(secs => $2::float8 / rate_per_second)
         where batch_id = $1",
        batch_id.0,
        taken.len() as f64,
        f64::from(CATCH_UP_SECS)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let work = work_of(batch_id, &row.act)?;
    let order = Order { batch_id, work, reason: row.reason, by: row.started_by, address: row.address };
    Ok(Some((order, taken)))
}

/// The next of a batch, at most `limit`; those first that a process has begun and not told of.
async fn begin_in_tx(tx: &mut PgConnection, batch_id: BatchId, limit: i64) -> Result<Vec<Taken>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"update booking.batch_items i
         set state = 'acting', acting_since = now()
         from (
             select position, state = 'acting' as is_again from booking.batch_items
             where batch_id = $1
                 and (state = 'waiting' or (state = 'acting' and acting_since < now() - make_interval(secs => $3)))
             order by position limit $2
         ) next
         where i.batch_id = $1 and i.position = next.position
         returning i.position, i.saga_id, i.refund_id, i.seq, next.is_again as "is_again!""#,
        batch_id.0,
        limit,
        f64::from(ACTING_SECS_MAX)
    )
    .fetch_all(tx)
    .await?;
    let taken = rows.into_iter().map(|row| Taken {
        position: row.position,
        saga_id: row.saga_id.map(SagaId),
        refund_id: row.refund_id.map(RefundId),
        seq: row.seq,
        is_again: row.is_again,
    });
    Ok(taken.collect())
}

fn too_many_failures(failed: i64, fixed: i64, permille: Option<i32>) -> bool {
    let results = failed + fixed;
    permille.is_some_and(|permille| results >= RESULTS_MIN && failed * 1_000 >= results * i64::from(permille))
}

/// How many acts may be begun after `since_secs`, with `room` for as many.
#[expect(
    clippy::float_arithmetic,
    reason = "a rate times a time; what is lost in rounding is made good by the next turn"
)]
fn may_begin(rate_per_second: i32, since_secs: f64, room: i64) -> i64 {
    let by_rate = (f64::from(rate_per_second) * since_secs.max(0.0)).floor() as i64;
    by_rate.min(room).clamp(0, ACTS_PER_TURN)
}

/// None: nobody knows what became of it, and it is taken again.
async fn one(engine: &Engine, order: &Order, taken: Taken) -> Option<Acted> {
    match (order.work, taken.saga_id, taken.refund_id) {
        (Work::Acts(what), Some(saga_id), _) => act(engine, order, what, (taken.position, saga_id, taken.seq)).await,
        (Work::Replays, _, Some(refund_id)) => replays::one(engine, order, &taken, refund_id).await,
        _ => Some(Acted::refused(taken.position, "it names nothing that could be acted on")),
    }
}

impl Acted {
    pub(super) fn refused(position: i32, why: impl ToString) -> Self {
        Self { position, state: "notAttempted", saga_id: None, seq: None, detail: Some(why.to_string()) }
    }
}

async fn act(
    engine: &Engine,
    order: &Order,
    act: BatchAct,
    (position, saga_id, seq): (i32, SagaId, i64),
) -> Option<Acted> {
    let request = ActRequest {
        saga_id,
        act: act.of_one(),
        reason: order.reason.clone(),
        seq,
        by: order.by.clone(),
        address: order.address.clone(),
    };
    match engine.act(request).await {
        Ok(ActAnswer::Done { seq } | ActAnswer::Replayed { seq }) => {
            Some(Acted { position, state: "acted", saga_id: None, seq: Some(seq), detail: None })
        }
        Err(ActError::Database(error)) => {
            let batch_id = order.batch_id;
            tracing::warn!(
                batch.id = %batch_id, saga.id = %saga_id, error = %error,
                "Batch {batch_id} could not act on {saga_id} and tries again: {error}"
            );
            None
        }
        Err(refused) => Some(Acted::refused(position, refused)),
    }
}

async fn write(pool: &PgPool, batch: BatchId, acted: &[Acted]) -> Result<(), sqlx::Error> {
    let positions: Vec<_> = acted.iter().map(|acted| acted.position).collect();
    let states: Vec<_> = acted.iter().map(|acted| acted.state.to_owned()).collect();
    let sagas: Vec<_> = acted.iter().map(|acted| acted.saga_id.map(|saga| saga.0)).collect();
    let seqs: Vec<_> = acted.iter().map(|acted| acted.seq).collect();
    let details: Vec<_> = acted.iter().map(|acted| acted.detail.clone()).collect();
    sqlx::query!(
        "update booking.batch_items i
         set state = told.state, saga_id = coalesce(told.saga_id, i.saga_id), acted_seq = told.seq, detail = told.detail
         from unnest($2::integer[], $3::text[], $4::uuid[], $5::bigint[], $6::text[])
             as told (position, state, saga_id, seq, detail)
         where i.batch_id = $1 and i.position = told.position and i.state = 'acting'",
        batch.0,
        &positions,
        &states,
        &sagas as &[Option<Uuid>],
        &seqs as &[Option<i64>],
        &details as &[Option<String>]
    )
    .execute(pool)
    .await
    .map(drop)
}

/// A batch is through when every act was carried out or refused; what comes of the last ones is heard later.
async fn finish(pool: &PgPool, batch: BatchId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.batches set state = $2, finished_at = now()
         where batch_id = $1 and state = 'running' and not exists (
             select from booking.batch_items where batch_id = $1 and state in ('waiting', 'acting'))",
        batch.0,
        BatchState::Completed.as_str()
    )
    .execute(pool)
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_to_its_rate_and_its_room() {
        assert_eq!(may_begin(20, 0.5, 100), 10);
        assert_eq!(may_begin(20, 0.04, 100), 0);
        assert_eq!(may_begin(20, 2.0, 3), 3);
        assert_eq!(may_begin(20, 2.0, -1), 0);
        assert_eq!(may_begin(1_000, 2.0, 10_000), ACTS_PER_TURN);
        assert_eq!(may_begin(20, -1.0, 100), 0);
    }

    #[test]
    fn a_few_failures_end_nothing() {
        assert!(!too_many_failures(9, 0, Some(1)));
        assert!(too_many_failures(5, 5, Some(500)));
        assert!(!too_many_failures(4, 6, Some(500)));
        assert!(!too_many_failures(1_000, 0, None));
    }
}
