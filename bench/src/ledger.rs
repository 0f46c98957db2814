//! What balances cost with ten million entries in the ledger, beside adding all of them up; in the same database, a
//! moment apart. What is posted between two counts of the chore is not counted yet when balances are asked for.

use crate::{
    cluster::Cluster,
    options::Measure,
    output::progress,
    report::Report,
    site,
    spread::{Spread, percentile},
};
use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Instant;

/// How many events there are, each with an account of its own.
const EVENTS: i64 = 2_000;
/// How long an event sells; they begin one after the other in the course of a year.
const SELLING_DAYS: i64 = 60;
/// How many postings share a transaction, and so a number that the horizon is told by.
const PER_TRANSACTION: i64 = 10_000;
/// What is not counted yet: a busy ten seconds.
const FRESH: i64 = 5_000;
/// How often each statement is asked in a round; of which the median counts.
const ASKED: usize = 5;

const ALL: &str = "select count(*), coalesce(sum(abs(b.amount_minor)), 0)::int8 from (
    select account_id, currency, sum(amount_minor) as amount_minor from booking.ledger_entries group by 1, 2) b";
const NOW: &str = "select count(*), coalesce(sum(abs(amount_minor)), 0)::int8 from booking.ledger_balances(null)";
const THEN: &str = "select count(*), coalesce(sum(abs(amount_minor)), 0)::int8
    from booking.ledger_balances(now() - interval '100 days 7 hours')";

/// Captures `$1` to `$2` of `$3` in the order of their times: each event sells evenly as long as it sells.
const CAPTURES: &str = "with wanted as (
        select n, n * $4 / $3 as nth,
            now() - interval '365 days' * (1 - n::float8 / $3) as at
        from generate_series($1::int8, $2::int8) n
    ), posted as (
        insert into booking.ledger_postings (posting_id, key, kind, gateway, at)
        select gen_random_uuid(), 'capture:' || n, 'capture', 'primary', at from wanted
        returning posting_id, at, substr(key, 9)::int8 as n
    ), entry as (
        insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency, at)
        select posting_id, clearing.account_id, 4500, 'EUR', at
        from posted, booking.ledger_accounts clearing where clearing.name = 'gateway:primary:clearing'
        union all
        select posting_id, payable.account_id, -4500, 'EUR', posted.at
        from posted join wanted using (n)
        join booking.ledger_accounts payable
            -- those that sell at the time
            on payable.name = 'organiser:' || greatest(0, least($4, nth) - n % ($4 * $5 / 365)) || ':payable'
        returning 1
    )
    select count(*) from entry";

/// Measures and reports.
pub(crate) async fn measure(cluster: &Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let postings = measure.entries() / 2;
    let database = cluster.fresh_database()?;
    site::engine(cluster, &database).await?.pool().close().await;
    // without the limits on time that a process's own connections have
    let mut connection = PgConnection::connect(&cluster.url(&database)?).await?;
    fill(&mut connection, postings).await?;
    cluster.settle().await?;
    report.note("ledger_entries", postings * 2);
    report.note("events", EVENTS);
    report.note("entries_not_counted_yet", FRESH * 2);
    let first = Instant::now();
    sqlx::query("select booking.ledger_roll_up()").execute(&mut connection).await?;
    report.add("count_all_s", "s", 1, Spread::of([first.elapsed().as_secs_f64()]));
    sqlx::raw_sql("vacuum analyze booking.ledger_totals").execute(&mut connection).await?;
    let totals: i64 =
        sqlx::query_scalar("select count(*) from booking.ledger_totals").fetch_one(&mut connection).await?;
    report.note("totals", totals);
    let (mut rounds, mut next) = (Vec::new(), postings);
    for round in 1..=measure.rounds() {
        captures(&mut connection, next, FRESH, postings).await?;
        next += FRESH;
        let taken = Round::take(&mut connection).await?;
        progress(&format!("round {round}: {taken:?}"));
        rounds.push(taken);
    }
    let each = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of));
    report.add("all_entries_ms", "ms", 0, each(|round| round.all));
    report.add("balances_now_ms", "ms", 1, each(|round| round.now));
    report.add("balances_then_ms", "ms", 1, each(|round| round.then));
    report.add("all_entries_vs_now", "×", 0, each(|round| round.all / round.now));
    report.add("all_entries_vs_then", "×", 0, each(|round| round.all / round.then));
    report.add("count_what_is_new_ms", "ms", 1, each(|round| round.count));
    connection.close().await?;
    cluster.drop_database(&database)
}

/// How long each took, in milliseconds.
#[derive(Debug)]
struct Round {
    all: f64,
    now: f64,
    then: f64,
    count: f64,
}

impl Round {
    async fn take(connection: &mut PgConnection) -> anyhow::Result<Self> {
        let (all, entries) = ask(connection, ALL).await?;
        let (now, balances) = ask(connection, NOW).await?;
        anyhow::ensure!(entries == balances, "entries come to {entries:?}, balances to {balances:?}");
        let (then, _) = ask(connection, THEN).await?;
        let began = Instant::now();
        sqlx::query("select booking.ledger_roll_up()").execute(&mut *connection).await?;
        let count = milliseconds(began);
        Ok(Self { all, now, then, count })
    }
}

/// How long it takes as a rule, and what it says.
async fn ask(connection: &mut PgConnection, statement: &'static str) -> anyhow::Result<(f64, (i64, i64))> {
    let (mut times, mut said) = (Vec::new(), (0, 0));
    for _ in 0..ASKED {
        let began = Instant::now();
        said = sqlx::query_as(statement).fetch_one(&mut *connection).await?;
        times.push(milliseconds(began));
    }
    Ok((percentile(&times, 0.5), said))
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1_000.0
}

/// A year of captures.
async fn fill(connection: &mut PgConnection, postings: i64) -> anyhow::Result<()> {
    let began = Instant::now();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "set synchronous_commit = off;
         insert into booking.ledger_accounts (name) values ('gateway:primary:clearing');
         insert into booking.ledger_accounts (name)
         select 'organiser:' || n || ':payable' from generate_series(0, {EVENTS}) n;
         analyze booking.ledger_accounts"
    )))
    .execute(&mut *connection)
    .await?;
    let mut first = 0;
    while first < postings {
        let count = PER_TRANSACTION.min(postings - first);
        captures(connection, first, count, postings).await?;
        first += count;
    }
    for vacuum in ["vacuum analyze booking.ledger_postings", "vacuum analyze booking.ledger_entries"] {
        sqlx::query(vacuum).execute(&mut *connection).await?;
    }
    progress(&format!("made {} entries in {:.0} s", postings * 2, began.elapsed().as_secs_f64()));
    Ok(())
}

async fn captures(connection: &mut PgConnection, first: i64, count: i64, of: i64) -> anyhow::Result<()> {
    let written: i64 = sqlx::query_scalar(CAPTURES)
        .bind(first + 1)
        .bind(first + count)
        .bind(of)
        .bind(EVENTS)
        .bind(SELLING_DAYS)
        .fetch_one(connection)
        .await
        .context("posting captures")?;
    anyhow::ensure!(written == count * 2, "{written} entries of {count} postings");
    Ok(())
}
