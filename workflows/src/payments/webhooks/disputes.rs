//! Disputes: written down and posted as their newest news says. No ticket is voided for one.

use super::{
    News,
    charges::Names,
    inbox::{Outcome, UNKNOWN_CHARGE},
};
use crate::{
    gateways::Reference,
    ids::{OrderId, PaymentId},
    ledger::{self, Dispute},
    money::Money,
};
use sqlx::PgConnection;

/// How disputes end, in the words of any gateway.
const ENDS: [&str; 4] = ["won", "lost", "PREARBITRATION_WON", "PREARBITRATION_LOST"];

/// What a webhook says of a dispute.
#[derive(Debug, Clone)]
pub(super) struct DisputeNews {
    pub(super) reference: Reference,
    pub(super) names: Names,
    pub(super) amount: Money,
    pub(super) status: String,
}

/// Writes it down, unless what is written is newer.
pub(super) async fn record(tx: &mut PgConnection, news: &News, dispute: &DisputeNews) -> Result<Outcome, sqlx::Error> {
    let row = sqlx::query!(
        r#"with charge as (
               select payment_id, order_id from booking.payments
               where gateway = $1 and reference = any($4) order by payment_id limit 1
               -- a refund that looks whether there is one waits for this, or this for it
               for update
           ), told as (
               insert into booking.disputes (gateway, reference, payment_reference, payment_id, order_id, amount_minor,
                                             currency, status, occurred_at)
               select $1, $2, $3, (select payment_id from charge), coalesce((select order_id from charge), $5), $6, $7,
                      $8, $9
               on conflict (gateway, reference) do update
                   set status = excluded.status, amount_minor = excluded.amount_minor, currency = excluded.currency,
                       occurred_at = excluded.occurred_at, updated_at = now(),
                       payment_id = coalesce(disputes.payment_id, excluded.payment_id),
                       order_id = coalesce(disputes.order_id, excluded.order_id)
                   -- times are in seconds: of one second the end of it stays, else what came last
                   where disputes.occurred_at < excluded.occurred_at
                      or (disputes.occurred_at = excluded.occurred_at and disputes.status <> all($10))
               returning payment_id, order_id
           )
           select told.payment_id, told.order_id from told"#,
        news.gateway,
        dispute.reference.as_str(),
        dispute.names.theirs.as_ref().map(Reference::as_str),
        &dispute.names.texts(),
        news.order.map(|order| order.0),
        dispute.amount.amount_minor,
        dispute.amount.currency.code(),
        dispute.status,
        news.occurred_at,
        &ENDS.map(str::to_owned)
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(Outcome::Known) };
    let Some(payment_id) = row.payment_id else { return Ok(Outcome::Unmatched(UNKNOWN_CHARGE)) };
    let recorded = Dispute {
        gateway: news.gateway.clone(),
        reference: dispute.reference.clone(),
        payment_id: PaymentId(payment_id),
        order_id: row.order_id.map(OrderId),
        amount: dispute.amount,
        status: dispute.status.clone(),
    };
    ledger::dispute_in_tx(tx, &recorded, &news.id).await?;
    Ok(Outcome::Recorded)
}
