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

pub(super) async fn record(tx: &mut PgConnection, acts: &[(ActRow<'_>, Value)], outcome: &str) -> Stored<()> {
    if acts.is_empty() {
        return Ok(());
    }
    let rows = || acts.iter().map(|(act, _)| act);
    sqlx::query!(
        "insert into engine.acts (act_id, actor, act, object, seq, digest, outcome, reason, detail, address)
         select act_id, actor, act, object, seq, digest, $10, reason, detail, address
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[], $7::text[], $8::jsonb[],
                     $9::text[]) as a (act_id, actor, act, object, seq, digest, reason, detail, address)",
        &acts.iter().map(|_| fresh_uuid()).collect::<Vec<_>>(),
        &rows().map(|act| act.actor.to_owned()).collect::<Vec<_>>(),
        &rows().map(|act| act.act.to_owned()).collect::<Vec<_>>(),
        &rows().map(|act| act.saga_id.to_string()).collect::<Vec<_>>(),
        &rows().map(|act| act.seq).collect::<Vec<_>>(),
        &rows().map(|act| act.digest.to_owned()).collect::<Vec<_>>(),
        &rows().map(|act| act.reason.to_owned()).collect::<Vec<_>>(),
        &acts.iter().map(|(_, detail)| detail.clone()).collect::<Vec<_>>(),
        &rows().map(|act| act.address.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
        outcome
    )
    .execute(tx)
    .await?;
    Ok(())
}
