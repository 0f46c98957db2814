//! `--statements`: one run under `pg_stat_statements`, and which statements PostgreSQL spent its time on. The library
//! costs something itself, so nothing else is measured then.

use crate::{actions, cluster::Cluster, load, options::Measure, output, site::Site};
use comfy_table::{Table, presets};

/// How many statements are shown.
const SHOWN: i64 = 25;

/// Runs and shows.
pub(crate) async fn show(measure: &Measure) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(measure)?;
    cluster.load_library("pg_stat_statements")?;
    sqlx::query("create extension pg_stat_statements").execute(cluster.admin()).await?;
    for definition in [actions::LOCAL, actions::EXTERNAL] {
        let site = Site::fresh(&cluster).await?;
        load::warm_up(&site, definition).await?;
        sqlx::query("select pg_stat_statements_reset()").execute(cluster.admin()).await?;
        load::start_all(&site.engine, definition, 64, measure.sagas()).await?;
        load::wait_until_idle(site.engine.pool()).await?;
        site.close().await?;
        output::result(&format!("\n{definition}, {} sagas:\n{}", measure.sagas(), table(&cluster).await?));
    }
    cluster.wipe()
}

type Row = (String, i64, i64, f64, f64, i64);

async fn table(cluster: &Cluster) -> anyhow::Result<Table> {
    let rows: Vec<Row> = sqlx::query_as(
        "select left(regexp_replace(query, '\\s+', ' ', 'g'), 90), calls, rows, total_exec_time, mean_exec_time,
                wal_bytes::int8
         from pg_stat_statements order by total_exec_time desc limit $1",
    )
    .bind(SHOWN)
    .fetch_all(cluster.admin())
    .await?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["total ms", "calls", "rows", "rows/call", "ms/call", "WAL kB", "statement"]);
    for (statement, calls, rows, total, mean, wal_bytes) in rows {
        table.add_row([
            format!("{total:.0}"),
            calls.to_string(),
            rows.to_string(),
            format!("{:.1}", rows as f64 / calls as f64),
            format!("{mean:.3}"),
            (wal_bytes / 1_024).to_string(),
            statement,
        ]);
    }
    Ok(table)
}
