//! What our books have and no file has had: looked for when a file comes, once for each posting.

use crate::{ids::SettlementId, ledger::Account};
use orchestrator::ids::Uuid;
use sqlx::PgConnection;

/// How far the first file of a gateway looks back.
const FIRST_LOOK_DAYS: i32 = 90;
/// Transactions that began before a look may end after it: as much is looked at twice.
const LONGEST_TRANSACTION_SECS: f64 = 600.0;

/// Adds a line to the settlement for each posting that is older than `days` and that no line has settled, numbered from
/// `first`. Answers how many.
pub(super) async fn look_in_tx(
    tx: &mut PgConnection,
    settlement: SettlementId,
    gateway: &str,
    first: u64,
    days: u32,
) -> Result<u64, sqlx::Error> {
    let days = i32::try_from(days).unwrap_or(i32::MAX);
    let found = sqlx::query!(
        r#"with looked as (
               select coalesce((select looked_until from booking.settlement_horizons where gateway = $2),
                               now() - make_interval(days => $5::int + $6::int)) as from_then,
                      now() - make_interval(days => $5::int) as until_then
           ), late as (
               select p.posting_id, p.kind, p.at, p.order_id, p.payment_id, p.refund_id, p.reference,
                      e.amount_minor, e.currency, row_number() over (order by p.at, p.posting_id) as place
               from looked
               join booking.ledger_postings p on p.at > looked.from_then and p.at <= looked.until_then
               join booking.ledger_entries e on e.posting_id = p.posting_id
               join booking.ledger_accounts a on a.account_id = e.account_id and a.name = $3
               where p.gateway = $2
                 and p.kind in ('capture', 'lateCapture', 'refundSucceeded', 'refundReversed', 'disputeOpened', 'disputeWon')
                 and not exists (
                     select from booking.settlement_lines s
                     where s.posting_id = p.posting_id and s.outcome not in ('missing', 'duplicate'))
                 and not exists (
                     select from booking.settlement_lines s where s.posting_id = p.posting_id and s.outcome = 'missing')
           ), moved as (
               insert into booking.settlement_horizons (gateway, looked_until)
               select $2, until_then - make_interval(secs => $7::float8) from looked
               on conflict (gateway) do update
               set looked_until = greatest(settlement_horizons.looked_until, excluded.looked_until)
           )
           insert into booking.settlement_lines
               (settlement_id, line, gateway, movement, category, payment_reference, reference, gross_minor, fee_minor,
                net_minor, currency, occurred_at, outcome, posting_id, expected_minor, expected_currency, order_id,
                payment_id, refund_id, state)
           select $1, ($4 + place - 1)::int, $2,
                  case kind when 'refundSucceeded' then 'refund' when 'refundReversed' then 'refundReturned'
                      when 'disputeOpened' then 'dispute' when 'disputeWon' then 'disputeReturned' else 'capture' end,
                  kind,
                  case when kind in ('capture', 'lateCapture') then reference
                      else (select c.reference from booking.payments c where c.payment_id = late.payment_id) end,
                  reference, 0, 0, 0, currency, at, 'missing', posting_id, amount_minor, currency, order_id, payment_id,
                  refund_id, 'open'
           from late"#,
        settlement.0,
        gateway,
        Account::Clearing(gateway.to_owned()).to_string(),
        i64::try_from(first).unwrap_or(i64::MAX),
        days,
        FIRST_LOOK_DAYS,
        LONGEST_TRANSACTION_SECS,
    )
    .execute(tx)
    .await?;
    Ok(found.rows_affected())
}

/// What was missing of these postings has come.
pub(super) async fn arrived_in_tx(tx: &mut PgConnection, postings: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.settlement_lines set state = 'settled'
         where posting_id = any($1) and outcome = 'missing' and state in ('open', 'told')",
        postings
    )
    .execute(tx)
    .await
    .map(drop)
}
