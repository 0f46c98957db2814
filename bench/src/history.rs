//! Throughput with a million finished sagas in the tables, over that with none. Both are databases of the same server,
//! and their rounds take turns.

use crate::{
    actions,
    cluster::Cluster,
    load,
    options::Measure,
    output::progress,
    report::Report,
    site::{self, Site, Worker},
    spread::Spread,
    throughput::Round,
};
use anyhow::Context;
use sqlx::{Connection, PgConnection};
use std::time::Instant;

/// When the finished sagas were: three quarters of them in the twelve weeks before this one, and the rest in the days
/// that have passed of this one, where new sagas go as well.
const PAST: &str = "
    create unlogged table past as
    select overlay(overlay(engine.uuid_at(at)::text placing '7' from 15)
                   placing substr(gen_random_uuid()::text, 16) from 16)::uuid as saga_id,
           at
    from (
        select case when n <= $1 * 3 / 4
                    then week - interval '84 days' * (1 - n / ($1 * 0.75))
                    else week + (clock_timestamp() - week) * ((n - $1 * 0.75) / ($1 * 0.25)) end as at
        from generate_series(1, $1::int4) as n,
             lateral (select date_trunc('week', clock_timestamp() at time zone 'utc') at time zone 'utc') w (week)
    ) times";

/// Each is a copy of one saga that has really run. Keys are there as long as they are kept, which is a month.
const COPIES: [&str; 3] = [
    "insert into engine.sagas
     select (jsonb_populate_record(s, jsonb_build_object(
         'saga_id', p.saga_id, 'starts_at', p.at, 'created_at', p.at, 'updated_at', p.at + (s.updated_at - s.created_at),
         'finished_at', p.at + (s.finished_at - s.created_at)))).*
     from past p cross join engine.sagas s where s.saga_id = $1 order by p.saga_id",
    "insert into engine.journal (saga_id, seq, at, kind, step, attempt, entry, move_id)
     select p.saga_id, j.seq, p.at + (j.at - s.created_at), j.kind, j.step, j.attempt, j.entry, gen_random_uuid()
     from past p cross join engine.journal j join engine.sagas s on s.saga_id = j.saga_id
     where j.saga_id = $1 order by p.saga_id, j.seq",
    "insert into engine.start_keys (owner, key, saga_id, digest, created_at)
     select k.owner, gen_random_uuid()::text, p.saga_id, k.digest, p.at
     from past p cross join engine.start_keys k
     where k.saga_id = $1 and p.at > clock_timestamp() - interval '29 days'",
];

/// Measures and reports.
pub(crate) async fn measure(cluster: &Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let full = make(cluster, measure.history()).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 1..=measure.rounds() {
        without.push(Round::fresh(cluster, Site::fresh(cluster).await?, actions::LOCAL, measure).await?);
        let site = Site::on(cluster, full.clone()).await?;
        with.push(Round::on(cluster, site, actions::LOCAL, measure).await?);
        let rate = |rounds: &[Round]| rounds.last().map_or(0.0, Round::sagas_per_second);
        progress(&format!("round {round}: {:.0} sagas/s without history, {:.0} with", rate(&without), rate(&with)));
    }
    report.note("finished_sagas_in_history", measure.history());
    let ratios = with.iter().zip(&without).map(|(with, without)| with.sagas_per_second() / without.sagas_per_second());
    report.add("with_history", "×", 3, Spread::of(ratios));
    report.add("with_history_sagas_per_s", "/s", 0, Spread::of(with.iter().map(Round::sagas_per_second)));
    report.add("without_history_sagas_per_s", "/s", 0, Spread::of(without.iter().map(Round::sagas_per_second)));
    report.add("with_history_cpu_ms_per_saga", "ms", 3, Spread::of(with.iter().map(Round::cpu_per_saga)));
    report.add("without_history_cpu_ms_per_saga", "ms", 3, Spread::of(without.iter().map(Round::cpu_per_saga)));
    cluster.drop_database(&full)
}

/// Makes a database with so many finished sagas.
async fn make(cluster: &Cluster, sagas: i32) -> anyhow::Result<String> {
    let began = Instant::now();
    let database = cluster.fresh_database()?;
    let engine = site::engine(cluster, &database).await?;
    let worker = Worker::start(cluster, &database, site::USUAL).await?;
    let model = engine.start(actions::start(actions::LOCAL)).await?.saga_id();
    load::wait_until_idle(engine.pool()).await?;
    worker.stop().await?;
    engine.pool().close().await;
    // without the limits on time that the engine's own connections have
    let mut connection = PgConnection::connect(&cluster.url(&database)?).await?;
    sqlx::query("select engine.make_partitions(now() - interval '90 days', now())").execute(&mut connection).await?;
    sqlx::query(PAST).bind(sagas).execute(&mut connection).await.context("choosing the times of the past")?;
    for copy in COPIES {
        sqlx::query(copy).bind(model.0).execute(&mut connection).await.context("writing the past")?;
    }
    sqlx::raw_sql("drop table past").execute(&mut connection).await?;
    for vacuum in ["vacuum analyze engine.sagas", "vacuum analyze engine.journal", "vacuum analyze engine.start_keys"] {
        sqlx::query(vacuum).execute(&mut connection).await?;
    }
    let finished: i64 = sqlx::query_scalar("select count(*) from engine.saga_states where state = 'completed'")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    cluster.settle().await?;
    progress(&format!("made {finished} finished sagas in {:.0} s", began.elapsed().as_secs_f64()));
    Ok(database)
}
