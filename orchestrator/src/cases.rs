//! Cases: what needs a person, together with everything else that needs one for the same reason.
//!
//! A case has no row of its own. It is the open rows of `engine.cases` that have the same cause, definition, step,
//! half, failure and gateway, and its name is a digest of these; so nobody waits for anybody when ten thousand sagas
//! join the same one, and it is gone when the last has left it. A saga joins in the move that stops it and leaves in
//! the move that gets it past what stopped it. What no move tells of, because it is that nothing moves, is looked for
//! ([`Engine::look_for_trouble`]).

mod leaving;
mod matters;
mod notices;
mod trouble;

pub use leaving::{expire, leave};
pub use matters::{Matter, close_in_tx, give_up, keep, open_in_tx};
pub use notices::{mark_told_in_tx, untold};
pub use trouble::Patience;

use crate::{
    engine::Engine,
    ids::{CaseId, SagaId, Uuid},
    journal::Moment,
};
use sqlx::PgPool;

/// How many cases are shown at most.
const CASES_MAX: i64 = 500;
/// How many of a case's sagas are named.
pub const SAGAS_NAMED_MAX: i64 = 100;

/// Cause of [`Case`]: a person has stopped the saga, and it has left something.
pub const KILLED: &str = "killed";
/// Cause of [`Case`]: an invariant does not hold.
pub const INVARIANT: &str = "invariant";
/// Cause of [`Case`]: a webhook that should have mattered to somebody, and does not.
pub const WEBHOOK_UNMATCHED: &str = "webhook-unmatched";

/// One cause that needs a person, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Which: the same cause has the same name.
    pub case_id: CaseId,
    /// The kind of trouble: `exhausted`, `refused`, `worker-lost`, `definition-unknown`, `killed`, `in-doubt`,
    /// `past-deadline`, `no-progress`, `invariant`, `webhook-unmatched`.
    pub cause: String,
    /// What its sagas run.
    pub definition: Option<String>,
    /// Where they stand.
    pub step: Option<String>,
    /// In which half of it: `forward`, `compensation`.
    pub lane: Option<String>,
    /// The failure's code.
    pub code: Option<String>,
    /// Whom they were calling.
    pub gateway: Option<String>,
    /// How many are in it now.
    pub count: i64,
    /// Since when the oldest of them is.
    pub oldest: Moment,
    /// How many have joined within the last hour.
    pub joined_last_hour: i64,
    /// How many in the hour before.
    pub joined_hour_before: i64,
    /// The sagas that have been in it the longest, [`SAGAS_NAMED_MAX`] at most.
    pub sagas: Vec<SagaId>,
}

impl Case {
    /// What a person would do, most of the time: an act's name, or `look` where something is to be understood first.
    #[must_use]
    pub fn suggested_act(&self) -> &'static str {
        match self.cause.as_str() {
            // what is behind it is there again, or soon
            "exhausted" | "worker-lost" | "definition-unknown" | "no-progress" => "retry",
            "in-doubt" => "probe",
            "past-deadline" => "cancel",
            // the other side has said no for good: somebody gives the money back by hand, and says so
            "refused" => "complete",
            _ => "look",
        }
    }
}

struct Row {
    group_id: Uuid,
    cause: String,
    definition: Option<String>,
    step: Option<String>,
    lane: Option<String>,
    code: Option<String>,
    gateway: Option<String>,
    count: i64,
    oldest: Moment,
    last_hour: i64,
    hour_before: i64,
    sagas: Vec<Uuid>,
}

impl From<Row> for Case {
    fn from(row: Row) -> Self {
        Self {
            case_id: CaseId(row.group_id),
            cause: row.cause,
            definition: row.definition,
            step: row.step,
            lane: row.lane,
            code: row.code,
            gateway: row.gateway,
            count: row.count,
            oldest: row.oldest,
            joined_last_hour: row.last_hour,
            joined_hour_before: row.hour_before,
            sagas: row.sagas.into_iter().map(SagaId).collect(),
        }
    }
}

impl Engine {
    /// Open cases, those of most sagas first: all, or the one that is named.
    ///
    /// # Errors
    /// The database's.
    pub async fn cases(&self, one: Option<CaseId>) -> Result<Vec<Case>, sqlx::Error> {
        list(self.pool(), one).await
    }
}

async fn list(pool: &PgPool, one: Option<CaseId>) -> Result<Vec<Case>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- by indexes alone
           with open as (
               select group_id, min(cause) as cause, min(definition) as definition, min(step) as step,
                      min(lane) as lane, min(code) as code, min(gateway) as gateway, count(*) as count,
                      min(opened_at) as oldest
               from engine.cases
               where closed_at is null and ($1::uuid is null or group_id = $1)
               group by group_id
               order by count(*) desc, min(opened_at) limit $2
           ), joined as (
               -- those that were mended since have joined all the same
               select group_id, count(*) filter (where opened_at > now() - interval '1 hour') as last_hour,
                      count(*) filter (where opened_at <= now() - interval '1 hour') as hour_before
               from engine.cases where opened_at > now() - interval '2 hours'
               group by group_id
           )
           select open.group_id, open.cause as "cause!", open.definition, open.step, open.lane, open.code, open.gateway,
                  open.count as "count!", open.oldest as "oldest!", coalesce(joined.last_hour, 0) as "last_hour!",
                  coalesce(joined.hour_before, 0) as "hour_before!", named.sagas as "sagas!"
           from open
           left join joined using (group_id)
           cross join lateral (
               select coalesce(array_agg(first.saga_id order by first.opened_at), '{}') as sagas
               from (select coalesce(saga_id, shown_by) as saga_id, opened_at from engine.cases c
                     where c.closed_at is null and c.group_id = open.group_id
                       and coalesce(saga_id, shown_by) is not null
                     order by opened_at limit $3) as first
           ) as named
           order by open.count desc, open.oldest"#,
        one.map(|case| case.0),
        CASES_MAX,
        SAGAS_NAMED_MAX,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Case::from).collect())
}
