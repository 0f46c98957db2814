//! The append-only record of what people did and were refused, as it is written.

use crate::{
    ids::fresh_uuid,
    store::{ActRow, Stored},
};
use serde_json::Value;
use sqlx::PgConnection;

pub(super) async fn done(tx: &mut PgConnection, act: &ActRow<'_>) -> Stored<Option<i64>> {
    let detail = sqlx::query_scalar!(
        "select detail from engine.acts
         where actor = $1 and act = $2 and object = $3 and seq = $4 and digest = $5 and outcome = 'done'",
        act.actor,
        act.act,
        act.saga_id.to_string(),
        act.seq,
        act.digest
    )
    .fetch_optional(tx)
    .await?;
    Ok(detail.and_then(|detail| detail["seq"].as_i64()))
}

pub(super) async fn record(tx: &mut PgConnection, act: &ActRow<'_>, outcome: &str, detail: &Value) -> Stored<()> {
    sqlx::query!(
        "insert into engine.acts (act_id, actor, act, object, seq, digest, outcome, reason, detail, address)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        fresh_uuid(),
        act.actor,
        act.act,
        act.saga_id.to_string(),
        act.seq,
        act.digest,
        outcome,
        act.reason,
        detail,
        act.address
    )
    .execute(tx)
    .await?;
    Ok(())
}
