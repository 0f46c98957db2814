//! What no move tells of, because it is that nothing gets anywhere: a doubt that lasts, a deadline that is over, a saga
//! that is owed a step or that tries in vain.

use crate::{
    engine::Engine,
    ids::{Uuid, fresh_uuid},
    journal::Moment,
};
use sqlx::PgPool;

/// How long it may take until a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Since a call's outcome became unknown.
    pub in_doubt_secs: u32,
    /// Since the deadline of a saga that is before its pivot, and that nobody takes back.
    pub past_deadline_secs: u32,
    /// Since a saga last got anywhere that has tried in vain, or is owed a step.
    pub no_progress_secs: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { in_doubt_secs: 300, past_deadline_secs: 300, no_progress_secs: 900 }
    }
}

/// How many sagas one look puts into cases. The next one finds the others.
const FOUND_MAX: i64 = 5_000;

/// A saga that gets nowhere.
struct Found {
    saga_id: Uuid,
    seq: i64,
    cause: String,
    since: Moment,
    gateway: Option<String>,
}

impl Engine {
    /// Puts sagas that get nowhere into cases, and takes out those that do again. Says how many it has put in.
    ///
    /// # Errors
    /// The database's.
    pub async fn look_for_trouble(&self, patience: Patience) -> Result<usize, sqlx::Error> {
        settle(self.pool()).await?;
        let found = find(self.pool(), patience).await?;
        flag(self.pool(), &found).await
    }
}

fn secs(patience: u32) -> f64 {
    f64::from(patience)
}

/// Live sagas alone, and of these only such as are old enough.
async fn find(pool: &PgPool, patience: Patience) -> Result<Vec<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"-- by indexes alone
           select distinct on (s.saga_id) s.saga_id as "saga_id!", s.seq as "seq!", trouble.cause as "cause!",
                  trouble.since as "since!", standing.gateway
           from engine.sagas s
           cross join lateral engine.standing(s.saga_id) as standing
           cross join lateral (
               values ('in-doubt', standing.doubt_since, $1::float8),
                      ('past-deadline', case when s.deadline_at < now() and s.state <> 'compensating'
                                                  and not engine.past_pivot(s.saga_id, s.definition, s.version)
                                             then s.deadline_at end, $2),
                      ('no-progress', case when standing.tried_in_vain then greatest(standing.progress_at, s.starts_at)
                                           -- after a long wait it may be in the middle of what follows
                                           when s.waiting_on = 'worker' then greatest(s.updated_at, s.starts_at)
                                      end, $3)
           ) as trouble (cause, since, patience)
           -- the second condition is the index's own
           where s.state in ('running', 'waiting', 'compensating') and s.state <> 'completed'
             and s.created_at < now() - make_interval(secs => least($1, $2, $3))
             and trouble.since < now() - make_interval(secs => trouble.patience)
             and not exists (select from engine.cases c where c.saga_id = s.saga_id and c.closed_at is null)
           order by s.saga_id, array_position(array['in-doubt', 'past-deadline', 'no-progress'], trouble.cause)
           limit $4"#,
        secs(patience.in_doubt_secs),
        secs(patience.past_deadline_secs),
        secs(patience.no_progress_secs),
        FOUND_MAX,
    )
    .fetch_all(pool)
    .await
}

/// Under the lock of their wake-ups, as their moves: who is in the middle of a move is looked at the next time.
async fn flag(pool: &PgPool, found: &[Found]) -> Result<usize, sqlx::Error> {
    let case_ids: Vec<_> = found.iter().map(|_| fresh_uuid()).collect();
    let sagas: Vec<_> = found.iter().map(|one| one.saga_id).collect();
    let flagged = sqlx::query!(
        r#"-- by indexes alone
           with resting as (
               select r.saga_id, found.seq, found.cause, found.since, found.gateway, found.case_id
               from unnest($1::uuid[], $2::uuid[], $3::int8[], $4::text[], $5::timestamptz[], $6::text[])
                        as found (case_id, saga_id, seq, cause, since, gateway)
               join engine.ready r on r.saga_id = found.saga_id
               for update of r skip locked
           )
           insert into engine.cases (case_id, saga_id, cause, definition, step, lane, code, gateway, message, opened_at)
           select resting.case_id, s.saga_id, resting.cause, s.definition, s.step,
                  case when s.state = 'compensating' then 'compensation' else 'forward' end, s.failure_code,
                  resting.gateway, 'since ' || resting.since, clock_timestamp()
           from resting
           join engine.sagas s on s.saga_id = resting.saga_id and s.seq = resting.seq
           on conflict (saga_id) where closed_at is null do nothing"#,
        &case_ids,
        &sagas,
        &found.iter().map(|one| one.seq).collect::<Vec<_>>(),
        &found.iter().map(|one| one.cause.clone()).collect::<Vec<_>>(),
        &found.iter().map(|one| one.since).collect::<Vec<_>>(),
        &found.iter().map(|one| one.gateway.clone()).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(pool)
    .await?;
    Ok(usize::try_from(flagged.rows_affected()).unwrap_or(usize::MAX))
}

/// What is definite again, has ended, or gets on.
async fn settle(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- by indexes alone
           with over as (
               select c.case_id from engine.cases c
               left join engine.sagas s on s.saga_id = c.saga_id
               left join lateral engine.standing(c.saga_id) as standing on true
               where c.closed_at is null and c.cause in ('in-doubt', 'past-deadline', 'no-progress')
                 and case
                     when s.saga_id is null or s.finished_at is not null then true
                     when c.cause = 'in-doubt' then standing.doubt_since is null
                     when c.cause = 'past-deadline' then
                         s.state = 'compensating' and not standing.tried_in_vain
                         or engine.past_pivot(s.saga_id, s.definition, s.version)
                     when standing.tried_in_vain then standing.progress_at > c.opened_at
                     else s.waiting_on <> 'worker' or s.updated_at > c.opened_at
                 end
               order by c.case_id
               for update of c skip locked
           )
           update engine.cases set closed_at = clock_timestamp() from over where cases.case_id = over.case_id"#
    )
    .execute(pool)
    .await?;
    Ok(())
}
