//! Starting sagas: keys, projections, wake-ups.

use super::moves;
use crate::{
    ids::SagaId,
    journal::Moment,
    store::{Append, KeyHolder, StartKey, Stored},
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

pub(super) async fn take_keys(tx: &mut PgConnection, keys: &[StartKey]) -> Stored<(Vec<Option<KeyHolder>>, Moment)> {
    // in key order, so that two batches cannot wait for each other
    let mut ordered: Vec<_> = keys.iter().collect();
    ordered.sort_by_key(|one| (&one.owner, &one.key));
    let rows = sqlx::query!(
        r#"insert into engine.start_keys (owner, key, saga_id, digest)
           select * from unnest($1::text[], $2::text[], $3::uuid[], $4::text[])
           on conflict (owner, key) do nothing
           returning owner, key, saga_id, digest, clock_timestamp() as "now!""#,
        &ordered.iter().map(|one| one.owner.clone()).collect::<Vec<_>>(),
        &ordered.iter().map(|one| one.key.clone()).collect::<Vec<_>>(),
        &ordered.iter().map(|one| one.saga_id.0).collect::<Vec<_>>(),
        &ordered.iter().map(|one| one.digest.clone()).collect::<Vec<_>>()
    )
    .fetch_all(&mut *tx)
    .await?;
    let now = match rows.first() {
        Some(row) => row.now,
        None => super::now(&mut *tx).await?,
    };
    let name = |one: &StartKey| (one.owner.clone(), one.key.clone());
    let holder = |saga_id, digest| KeyHolder { saga_id: SagaId(saga_id), digest, is_new: true };
    let mut holders: HashMap<_, _> =
        rows.into_iter().map(|row| ((row.owner, row.key), holder(row.saga_id, row.digest))).collect();
    let others: Vec<_> = keys.iter().filter(|one| !holders.contains_key(&name(one))).collect();
    if !others.is_empty() {
        holders.extend(held(tx, &others).await?);
    }
    let tell = |one: &StartKey| {
        let holder = holders.get_mut(&name(one))?;
        let told = holder.clone();
        // whoever asks for the same one after this finds it taken
        holder.is_new = false;
        Some(told)
    };
    Ok((keys.iter().map(tell).collect(), now))
}

/// Who holds keys that were taken before.
async fn held(tx: &mut PgConnection, keys: &[&StartKey]) -> Stored<HashMap<(String, String), KeyHolder>> {
    let rows = sqlx::query!(
        "select k.owner, k.key, k.saga_id, k.digest
         from unnest($1::text[], $2::text[]) as asked (owner, key)
         join engine.start_keys k on k.owner = asked.owner and k.key = asked.key",
        &keys.iter().map(|one| one.owner.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|one| one.key.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    let holder = |saga_id, digest| KeyHolder { saga_id: SagaId(saga_id), digest, is_new: false };
    Ok(rows.into_iter().map(|row| ((row.owner, row.key), holder(row.saga_id, row.digest))).collect())
}

pub(super) async fn create(tx: &mut PgConnection, appends: &[Append], priorities: &[i16]) -> Stored<()> {
    if appends.is_empty() {
        return Ok(());
    }
    moves::insert_entries(&mut *tx, appends).await?;
    let runs = || appends.iter().map(|append| &append.run);
    sqlx::query!(
        "with created as (
             insert into engine.sagas (saga_id, definition, version, state, step, seq, waiting_on, priority, tags,
                                       parent_id, starts_at, deadline_at, created_at, updated_at)
             select saga_id, definition, version, 'running', step, 1, waiting_on, priority, tags,
                    parent_id, starts_at, deadline_at, created_at, created_at
             from unnest($1::uuid[], $2::text[], $3::int4[], $4::text[], $5::text[], $6::int2[], $7::jsonb[],
                         $8::uuid[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
                  as s (saga_id, definition, version, step, waiting_on, priority, tags, parent_id, starts_at,
                        deadline_at, created_at)
             returning saga_id, priority, starts_at)
         insert into engine.ready (saga_id, priority, wake_at) select saga_id, priority, starts_at from created",
        &runs().map(|run| run.saga_id.0).collect::<Vec<_>>(),
        &runs().map(|run| run.definition.clone()).collect::<Vec<_>>(),
        &runs().map(|run| run.version).collect::<Vec<_>>(),
        &appends.iter().map(|append| append.row.step.clone()).collect::<Vec<_>>() as &[Option<String>],
        &appends.iter().map(|append| append.row.waiting_on.to_owned()).collect::<Vec<_>>(),
        priorities,
        &runs().map(|run| serde_json::json!(run.tags)).collect::<Vec<_>>(),
        &runs().map(|run| run.parent.map(|parent| parent.0)).collect::<Vec<_>>() as &[Option<Uuid>],
        &runs().map(|run| run.starts_at).collect::<Vec<_>>(),
        &runs().map(|run| run.deadline_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &runs().map(|run| run.created_at).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}
