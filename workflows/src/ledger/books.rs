//! What the ledger says: balances at any moment, and postings.

use super::About;
use crate::{
    gateways::Reference,
    ids::{OrderId, PaymentId, PostingId, RefundId},
    money::{Money, currency_from_code},
    orders::impossible,
};
use chrono::{DateTime, Utc};
use orchestrator::ids::Uuid;
use serde::Deserialize;
use sqlx::{PgPool, types::Json};

/// What an account comes to, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The account's name.
    pub account: String,
    /// Debit is positive.
    pub amount: Money,
}

/// What all accounts come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balances {
    /// By account and currency.
    pub accounts: Vec<Balance>,
    /// Per currency, of all accounts there are: nothing, always.
    pub trial: Vec<Money>,
}

/// A posting as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Which.
    pub posting_id: PostingId,
    /// When.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: String,
    /// What it is about.
    pub about: About,
    /// What is debited first.
    pub entries: Vec<Balance>,
}

/// Which postings.
#[derive(Debug, Clone, Default)]
pub struct PostingFilter {
    /// Of this order.
    pub order: Option<OrderId>,
    /// With an entry in this account.
    pub account: Option<String>,
    /// Posted then or later.
    pub from: Option<DateTime<Utc>>,
    /// Posted before.
    pub to: Option<DateTime<Utc>>,
    /// Only those after this one.
    pub after: Option<(DateTime<Utc>, PostingId)>,
    /// How many at most.
    pub limit: u16,
}

/// What every account comes to, now or `at` a moment, those after `after` and at most `limit`; all of one snapshot.
///
/// # Errors
/// The database's.
pub async fn balances(
    pool: &PgPool,
    at: Option<DateTime<Utc>>,
    after: Option<(&str, &str)>,
    limit: u32,
) -> Result<Balances, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with balance as materialized (
               select a.name, b.currency, b.amount_minor
               from booking.ledger_balances($1) b join booking.ledger_accounts a using (account_id)
           )
           (select true as "is_account!", name as "name!", currency as "currency!", amount_minor as "amount_minor!"
            from balance where $2::text is null or (name, currency) > ($2, $3)
            order by name, currency limit $4)
           union all
           (select false, '', currency, sum(amount_minor)::bigint from balance group by currency order by currency)"#,
        at,
        after.map(|(account, _)| account),
        after.map(|(_, currency)| currency),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let mut balances = Balances { accounts: Vec::new(), trial: Vec::new() };
    for row in rows {
        let amount = money(row.amount_minor, &row.currency, &row.name)?;
        if row.is_account {
            balances.accounts.push(Balance { account: row.name, amount });
        } else {
            balances.trial.push(amount);
        }
    }
    Ok(balances)
}

/// Postings, the oldest first.
///
/// # Errors
/// The database's.
pub async fn postings(pool: &PgPool, filter: &PostingFilter) -> Result<Vec<Posted>, sqlx::Error> {
    rows(pool, filter).await?.into_iter().map(Posted::try_from).collect()
}

async fn rows(pool: &PgPool, filter: &PostingFilter) -> Result<Vec<PostingRow>, sqlx::Error> {
    sqlx::query_as!(
        PostingRow,
        r#"with wanted as (
               select coalesce($3, '-infinity'::timestamptz) as "from", coalesce($4, 'infinity'::timestamptz) as "to",
                      coalesce($5, '-infinity'::timestamptz) as after_at,
                      coalesce($6, '00000000-0000-0000-0000-000000000000'::uuid) as after_id,
                      (select a.account_id from booking.ledger_accounts a where a.name = $2) as account_id
           ), found as (
               -- each by an index of its own, of which one runs
               (select p.at, p.posting_id
                from booking.ledger_postings p
                where $1::uuid is null and $2::text is null
                  and p.at >= (select "from" from wanted) and p.at < (select "to" from wanted)
                  and (p.at, p.posting_id) > ((select after_at from wanted), (select after_id from wanted))
                order by p.at, p.posting_id limit $7)
               union all
               (select e.at, e.posting_id
                from booking.ledger_entries e
                where $1::uuid is null and $2::text is not null and e.account_id = (select account_id from wanted)
                  and e.at >= (select "from" from wanted) and e.at < (select "to" from wanted)
                  and (e.at, e.posting_id) > ((select after_at from wanted), (select after_id from wanted))
                -- once, however many currencies it has
                group by e.at, e.posting_id
                order by e.at, e.posting_id limit $7)
               union all
               (select p.at, p.posting_id
                from booking.ledger_postings p
                where p.order_id = $1
                  and p.at >= (select "from" from wanted) and p.at < (select "to" from wanted)
                  and (p.at, p.posting_id) > ((select after_at from wanted), (select after_id from wanted))
                  and ($2::text is null or exists (
                      select from booking.ledger_entries e
                      where e.posting_id = p.posting_id and e.account_id = (select account_id from wanted)))
                order by p.at, p.posting_id limit $7)
           )
           select p.posting_id, p.at, p.kind, p.order_id, p.payment_id, p.refund_id, p.gateway, p.reference, p.reason,
                  (select jsonb_agg(jsonb_build_object('account', a.name, 'amountMinor', e.amount_minor,
                                                       'currency', e.currency) order by e.amount_minor desc, a.name)
                   from booking.ledger_entries e join booking.ledger_accounts a using (account_id)
                   where e.posting_id = p.posting_id) as "entries: Json<Vec<EntryRow>>"
           from found join booking.ledger_postings p using (posting_id)
           order by p.at, p.posting_id"#,
        filter.order.map(|order| order.0),
        filter.account,
        filter.from,
        filter.to,
        filter.after.map(|(at, _)| at),
        filter.after.map(|(_, posting)| posting.0),
        i64::from(filter.limit)
    )
    .fetch_all(pool)
    .await
}

struct PostingRow {
    posting_id: Uuid,
    at: DateTime<Utc>,
    kind: String,
    order_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    refund_id: Option<Uuid>,
    gateway: Option<String>,
    reference: Option<String>,
    reason: Option<String>,
    entries: Option<Json<Vec<EntryRow>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryRow {
    account: String,
    amount_minor: i64,
    currency: String,
}

impl TryFrom<PostingRow> for Posted {
    type Error = sqlx::Error;

    fn try_from(row: PostingRow) -> Result<Self, sqlx::Error> {
        let posting_id = PostingId(row.posting_id);
        let wrong = |error| impossible("booking.ledger_postings", "reference", posting_id, error);
        let entries = row.entries.map(|Json(entries)| entries).unwrap_or_default();
        Ok(Self {
            posting_id,
            at: row.at,
            kind: row.kind,
            about: About {
                order_id: row.order_id.map(OrderId),
                payment_id: row.payment_id.map(PaymentId),
                refund_id: row.refund_id.map(RefundId),
                gateway: row.gateway,
                reference: row.reference.map(Reference::new).transpose().map_err(wrong)?,
                reason: row.reason,
            },
            entries: entries.into_iter().map(balance).collect::<Result<_, _>>()?,
        })
    }
}

/// Counts what is there for good into the totals, from which balances are told.
///
/// # Errors
/// The database's.
pub async fn roll_up(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("select booking.ledger_roll_up()").execute(pool).await.map(drop)
}

fn balance(row: EntryRow) -> Result<Balance, sqlx::Error> {
    Ok(Balance { amount: money(row.amount_minor, &row.currency, &row.account)?, account: row.account })
}

fn money(amount_minor: i64, code: &str, account: &str) -> Result<Money, sqlx::Error> {
    let wrong = |error| impossible("booking.ledger_entries", "currency", account, error);
    Ok(Money::new(amount_minor, currency_from_code(code).map_err(wrong)?))
}
