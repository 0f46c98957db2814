//! Days (UTC) that finance signs off: what was known then is kept as it was.

use crate::spawned;
use chrono::{DateTime, NaiveDate, Utc};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;

/// A day, closed or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// Which.
    pub day: NaiveDate,
    /// Who has signed it off, why and when.
    pub closed: Option<Closed>,
    /// The accounts at its end, what was posted and which files came on it, and which lines were open. As it was when it was
    /// closed, or as it is now.
    pub report: Value,
}

/// Who has signed a day off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// In their words.
    pub reason: String,
}

/// What somebody signs off.
#[derive(Debug, Clone)]
pub struct CloseDay {
    /// Which day.
    pub day: NaiveDate,
    /// Who.
    pub by: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// In their words.
    pub reason: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum ClosedDay {
    /// It is closed.
    New(Day),
    /// It was before, with the report that it has kept.
    Known(Day),
    /// It is not over.
    NotOver,
}

/// Signs a day off. It goes on to its end when the caller goes away.
///
/// # Errors
/// The database's.
pub async fn close_day(pool: &PgPool, wanted: CloseDay) -> Result<ClosedDay, sqlx::Error> {
    let pool = pool.clone();
    spawned::run(async move { close_now(&pool, &wanted).await }).await
}

async fn close_now(pool: &PgPool, wanted: &CloseDay) -> Result<ClosedDay, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let is_over = sqlx::query_scalar!(r#"select $1 < (now() at time zone 'UTC')::date as "is_over!""#, wanted.day)
        .fetch_one(&mut *tx)
        .await?;
    if !is_over {
        return Ok(ClosedDay::NotOver);
    }
    let report = report(&mut tx, wanted.day).await?;
    let written = sqlx::query!(
        "insert into booking.closed_days (day, closed_by, reason, report) values ($1, $2, $3, $4)
         on conflict do nothing",
        wanted.day,
        wanted.by,
        wanted.reason,
        report
    )
    .execute(&mut *tx)
    .await?;
    let is_new = written.rows_affected() == 1;
    if is_new {
        let by = Author { name: &wanted.by, address: wanted.address };
        let (object, detail) = (wanted.day.to_string(), json!({ "report": report }));
        record_in_tx(&mut tx, &DoneAct { by, act: "day.close", object: &object, reason: &wanted.reason, detail })
            .await?;
    }
    let day = day_in_tx(&mut tx, wanted.day).await?;
    tx.commit().await?;
    Ok(if is_new { ClosedDay::New(day) } else { ClosedDay::Known(day) })
}

/// A day as it was signed off, or as it stands.
///
/// # Errors
/// The database's.
pub async fn day(pool: &PgPool, day: NaiveDate) -> Result<Day, sqlx::Error> {
    day_in_tx(&mut *pool.acquire().await?, day).await
}

async fn day_in_tx(connection: &mut PgConnection, day: NaiveDate) -> Result<Day, sqlx::Error> {
    let row = sqlx::query!("select closed_at, closed_by, reason, report from booking.closed_days where day = $1", day)
        .fetch_optional(&mut *connection)
        .await?;
    Ok(match row {
        Some(row) => {
            let closed = Closed { at: row.closed_at, by: row.closed_by, reason: row.reason };
            Day { day, closed: Some(closed), report: row.report }
        }
        None => Day { day, closed: None, report: report(connection, day).await? },
    })
}

/// What is known of a day at this moment.
async fn report(connection: &mut PgConnection, day: NaiveDate) -> Result<Value, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with day as (
               select $1::date::timestamp at time zone 'UTC' as begins, ($1::date + 1)::timestamp at time zone 'UTC' as ends
           ), account as (
               select a.name, e.currency, sum(e.amount_minor)::bigint as amount_minor
               from booking.ledger_entries e
               join booking.ledger_accounts a using (account_id)
               join day on e.at < day.ends
               group by a.name, e.currency having sum(e.amount_minor) <> 0
           ), posted as (
               select p.kind, count(*) as postings
               from booking.ledger_postings p join day on p.at >= day.begins and p.at < day.ends
               group by p.kind
           ), file as (
               select 'stl_' || replace(s.settlement_id::text, '-', '') as settlement_id, s.gateway, s.line_count
               from booking.settlements s join day on s.imported_at >= day.begins and s.imported_at < day.ends
           ), open_line as (
               select l.gateway, l.outcome, count(*) as lines
               from booking.settlement_lines l
               join booking.settlements s using (settlement_id)
               join day on s.imported_at < day.ends
               where l.state in ('open', 'told')
               group by l.gateway, l.outcome
           )
           select jsonb_build_object(
               'accounts', (select coalesce(jsonb_agg(jsonb_build_object('account', name, 'balance',
                   jsonb_build_object('amount', amount_minor, 'currency', currency)) order by name, currency), '[]')
                   from account),
               'trialBalance', (select coalesce(jsonb_agg(jsonb_build_object('amount', amount, 'currency', currency)
                   order by currency), '[]')
                   from (select currency, sum(amount_minor)::bigint as amount from account group by currency) trial),
               'postings', (select coalesce(jsonb_object_agg(kind, postings), '{}') from posted),
               'settlements', (select coalesce(jsonb_agg(jsonb_build_object('settlementId', settlement_id,
                   'gateway', gateway, 'lines', line_count) order by settlement_id), '[]') from file),
               'openLines', (select coalesce(jsonb_agg(jsonb_build_object('gateway', gateway, 'outcome', outcome,
                   'lines', lines) order by gateway, outcome), '[]') from open_line)
           ) as "report!""#,
        day
    )
    .fetch_one(connection)
    .await
}
