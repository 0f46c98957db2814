//! The same, set-based: 100 sagas a transaction, from several writers. What no program does for a single saga, and
//! what group commit comes close to.

use super::{MOVES, Reference};
use crate::cluster::Meter;
use serde_json::Value;
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use std::{
    str::FromStr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How many sagas share a transaction.
const BATCH_SAGAS: usize = 100;

/// Sagas per second from so many writers.
pub(super) async fn run(of: &Reference<'_>, writers: usize, seconds: u32) -> anyhow::Result<f64> {
    of.empty().await?;
    let options = PgConnectOptions::from_str(&of.cluster.url(&of.database)?)?
        // as the engine's connections: a plan for tables that were empty a second ago is a bad one
        .options([("plan_cache_mode", "force_generic_plan")]);
    let meter = Meter::begin(of.cluster, Vec::new()).await?;
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut running = JoinSet::new();
    for _ in 0..writers {
        let (options, input, entry) = (options.clone(), of.input.clone(), of.entry.clone());
        running.spawn(async move {
            let mut connection = options.connect().await?;
            let mut sagas = 0;
            while Instant::now() < end {
                batch(&mut connection, &input, &entry).await?;
                sagas += BATCH_SAGAS;
            }
            anyhow::Ok(sagas)
        });
    }
    let mut sagas = 0;
    while let Some(ended) = running.join_next().await {
        sagas += ended??;
    }
    Ok(sagas as f64 / meter.end().await?.seconds)
}

/// 100 sagas from start to finish in five transactions.
async fn batch(connection: &mut PgConnection, input: &Value, entry: &Value) -> Result<(), sqlx::Error> {
    let saga_ids: Vec<i64> = sqlx::query_scalar(
        "insert into sagas (definition, state, step, seq, input)
         select 'four-local', 'running', 'hold', 1, input from unnest($1::jsonb[]) as s (input)
         returning saga_id",
    )
    .bind(vec![input.clone(); BATCH_SAGAS])
    .fetch_all(&mut *connection)
    .await?;
    for (seq, (step, next, state)) in (2_i64..).zip(MOVES) {
        let mut tx = connection.begin().await?;
        sqlx::query(
            "insert into journal (saga_id, seq, kind, step, entry)
             select saga_id, seq, 'done', step, entry
             from unnest($1::int8[], $2::int8[], $3::text[], $4::jsonb[]) as j (saga_id, seq, step, entry)",
        )
        .bind(&saga_ids)
        .bind(vec![seq; BATCH_SAGAS])
        .bind(vec![step; BATCH_SAGAS])
        .bind(vec![entry.clone(); BATCH_SAGAS])
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "update sagas s set state = m.state, step = m.step, seq = m.seq, updated_at = now()
             from unnest($1::int8[], $2::text[], $3::text[], $4::int8[]) as m (saga_id, state, step, seq)
             where s.saga_id = m.saga_id",
        )
        .bind(&saga_ids)
        .bind(vec![state; BATCH_SAGAS])
        .bind(vec![next; BATCH_SAGAS])
        .bind(vec![seq; BATCH_SAGAS])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    Ok(())
}
