//! What buyers' banks take back is not refunded as well.

use super::request::money_of;
use crate::{ids::PaymentId, money::Money};
use sqlx::PgConnection;

/// What a charge's gateway holds for disputes of it, or has lost to them, where so much is asked back of it, with `more`,
/// that the buyer would have some of it twice. The charge is locked: a dispute that comes meanwhile waits.
pub(super) async fn in_the_way_in_tx(
    tx: &mut PgConnection,
    payment: PaymentId,
    more_minor: i64,
) -> Result<Option<Money>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select c.captured_minor - c.refund_asked_minor as "left!", c.currency, (
               select coalesce(sum(e.amount_minor), 0)::int8
               from booking.ledger_postings p
               join booking.ledger_entries e on e.posting_id = p.posting_id
               join booking.ledger_accounts a on a.account_id = e.account_id
               where p.order_id = c.order_id and p.payment_id = c.payment_id and p.kind like 'dispute%'
                 and a.name in ('disputes:lost', 'gateway:' || c.gateway || ':disputes')) as "held!"
           from booking.payments c where c.payment_id = $1 for update of c"#,
        payment.0
    )
    .fetch_one(tx)
    .await?;
    let is_in_the_way = row.held > 0 && more_minor > row.left - row.held;
    is_in_the_way.then(|| money_of(row.held, &row.currency, payment)).transpose()
}
