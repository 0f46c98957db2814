//! Writing postings.

use super::Posting;
use crate::gateways::Reference;
use sqlx::PgConnection;

/// Writes the postings that are not written yet, all in one statement: the database looks at all of a posting's entries
/// together.
///
/// # Errors
/// The database's.
pub async fn post_in_tx(tx: &mut PgConnection, postings: &[Posting]) -> Result<(), sqlx::Error> {
    if postings.is_empty() {
        return Ok(());
    }
    let about = || postings.iter().map(Posting::about);
    let entries = || postings.iter().flat_map(|posting| posting.entries().iter().map(move |entry| (posting, entry)));
    sqlx::query!(
        "with posted as (
             insert into booking.ledger_postings
                 (posting_id, key, kind, order_id, payment_id, refund_id, gateway, reference, reason)
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[],
                                  $8::text[], $9::text[])
             on conflict (key) do nothing
             returning posting_id
         ), entry as (
             select told.* from unnest($10::uuid[], $11::text[], $12::bigint[], $13::text[])
                 as told (posting_id, account, amount_minor, currency)
             join posted using (posting_id)
         ), made as (
             insert into booking.ledger_accounts (name)
             select distinct account from entry
             where not exists (select from booking.ledger_accounts a where a.name = entry.account)
             order by account
             -- made by another at this moment: written as it is, so that its id is told
             on conflict (name) do update set name = excluded.name
             returning account_id, name
         ), account as (
             select account_id, name from booking.ledger_accounts where name in (select entry.account from entry)
             union all
             select account_id, name from made
         )
         insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency)
         select e.posting_id, a.account_id, e.amount_minor, e.currency
         from entry e join account a on a.name = e.account",
        &postings.iter().map(|posting| posting.id().0).collect::<Vec<_>>(),
        &postings.iter().map(|posting| posting.key().to_owned()).collect::<Vec<_>>(),
        &postings.iter().map(|posting| posting.kind().as_str().to_owned()).collect::<Vec<_>>(),
        &about().map(|about| about.order_id.map(|order| order.0)).collect::<Vec<_>>() as &[Option<_>],
        &about().map(|about| about.payment_id.map(|payment| payment.0)).collect::<Vec<_>>() as &[Option<_>],
        &about().map(|about| about.refund_id.map(|refund| refund.0)).collect::<Vec<_>>() as &[Option<_>],
        &about().map(|about| about.gateway.clone()).collect::<Vec<_>>() as &[Option<_>],
        &about().map(|about| about.reference.as_ref().map(Reference::to_string)).collect::<Vec<_>>() as &[Option<_>],
        &about().map(|about| about.reason.clone()).collect::<Vec<_>>() as &[Option<_>],
        &entries().map(|(posting, _)| posting.id().0).collect::<Vec<_>>(),
        &entries().map(|(_, entry)| entry.account.to_string()).collect::<Vec<_>>(),
        &entries().map(|(_, entry)| entry.amount.amount_minor).collect::<Vec<_>>(),
        &entries().map(|(_, entry)| entry.amount.currency.code().to_owned()).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await
    .map(drop)
}
