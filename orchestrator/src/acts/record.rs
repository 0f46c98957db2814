//! The append-only record of what people did and were refused, as it is read.

use crate::{engine::Engine, journal::Moment};
use uuid::Uuid;

/// Which acts to list. Members that are none let all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Of this person.
    pub actor: Option<String>,
    /// With this name: `retry`, `cancel`, `activate`.
    pub act: Option<String>,
    /// On this saga, or this version of a definition.
    pub object: Option<String>,
}

/// An act, done or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAct {
    /// Its place in the record: later acts have greater ones.
    pub act_id: Uuid,
    /// When.
    pub at: Moment,
    /// Who.
    pub actor: String,
    /// What.
    pub act: String,
    /// On what.
    pub object: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// Why, in the person's words.
    pub reason: String,
    /// From where.
    pub address: Option<String>,
}

impl Engine {
    /// At most `limit` acts before `before`, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn recorded_acts(
        &self,
        filter: &RecordFilter,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<RecordedAct>, sqlx::Error> {
        sqlx::query_as!(
            RecordedAct,
            "select act_id, at, actor, act, object, outcome, reason, address
             from engine.acts
             where ($1::text is null or actor = $1)
               and ($2::text is null or act = $2)
               and ($3::text is null or object = $3)
               and ($4::uuid is null or act_id < $4)
             order by act_id desc
             limit $5",
            filter.actor,
            filter.act,
            filter.object,
            before,
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await
    }
}
