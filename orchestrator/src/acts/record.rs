//! The append-only record of what people did and were refused, as it is read, and as others add to it.

use crate::{catalog::Author, engine::Engine, ids::fresh_uuid, journal::Moment};
use serde_json::Value;
use sqlx::PgConnection;
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

/// What a person has done to something that is no saga.
#[derive(Debug, Clone, PartialEq)]
pub struct DoneAct<'a> {
    /// Who, and from where.
    pub by: Author<'a>,
    /// What: `definition.activate`.
    pub act: &'a str,
    /// On what.
    pub object: &'a str,
    /// Why, in the person's words.
    pub reason: &'a str,
    /// What it was before, and what it is now.
    pub detail: Value,
}

/// Writes an act down in the transaction that does it.
///
/// # Errors
/// The database's.
pub async fn record_in_tx(tx: &mut PgConnection, act: &DoneAct<'_>) -> Result<(), sqlx::Error> {
    record(tx, act, "done").await
}

/// Writes down an act that was refused; its detail says why.
///
/// # Errors
/// The database's.
pub async fn record_refused_in_tx(tx: &mut PgConnection, act: &DoneAct<'_>) -> Result<(), sqlx::Error> {
    record(tx, act, "refused").await
}

async fn record(tx: &mut PgConnection, act: &DoneAct<'_>, outcome: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engine.acts (act_id, actor, act, object, outcome, reason, detail, address)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        fresh_uuid(),
        act.by.name,
        act.act,
        act.object,
        outcome,
        act.reason,
        act.detail,
        act.by.address.map(|address| address.to_string())
    )
    .execute(tx)
    .await?;
    Ok(())
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
