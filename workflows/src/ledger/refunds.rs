//! What refunds post.

use super::{About, Account, Posting, PostingKind, charges::CapturedCharge, post_in_tx};
use crate::{ids::RefundId, money::Money};
use sqlx::PgConnection;
use std::fmt;

/// What happened to a refund's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundMove {
    /// It is to go back.
    Requested,
    /// And is not, after all.
    Withdrawn,
    /// It is back.
    Succeeded,
    /// It is back, although the gateway had said no.
    SucceededAfterAll,
    /// The gateway has said no.
    Failed,
    /// And is asked once more.
    Replayed,
    /// What was back is with us again.
    Reversed,
    /// The same, while the gateway is asked once more.
    ReversedMeanwhile,
}

impl RefundMove {
    const fn kind(self) -> PostingKind {
        match self {
            Self::Requested => PostingKind::RefundRequested,
            Self::Withdrawn => PostingKind::RefundWithdrawn,
            Self::Succeeded | Self::SucceededAfterAll => PostingKind::RefundSucceeded,
            Self::Failed => PostingKind::RefundFailed,
            Self::Replayed => PostingKind::RefundReplayed,
            Self::Reversed | Self::ReversedMeanwhile => PostingKind::RefundReversed,
        }
    }

    /// What is debited, and what is credited.
    fn accounts(self, charge: &CapturedCharge) -> (Account, Account) {
        match self {
            Self::Requested => (charge.owed_to(), Account::RefundsInFlight),
            Self::Withdrawn => (Account::RefundsInFlight, charge.owed_to()),
            Self::Succeeded => (Account::RefundsInFlight, charge.clearing()),
            Self::SucceededAfterAll => (Account::RefundsFailed, charge.clearing()),
            Self::Failed => (Account::RefundsInFlight, Account::RefundsFailed),
            Self::Replayed => (Account::RefundsFailed, Account::RefundsInFlight),
            Self::Reversed => (charge.clearing(), Account::RefundsFailed),
            Self::ReversedMeanwhile => (charge.clearing(), Account::RefundsInFlight),
        }
    }
}

/// Which time of those that the same can happen to a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// It happens once.
    Once,
    /// That of a generation of its key at the gateway.
    Generation(i32),
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.write_str("0"),
            // a bare number is that of an attempt, as the release before counted
            Self::Generation(generation) => write!(f, "g{generation}"),
        }
    }
}

/// Posts what has moved of a refund, in the transaction that changes its row and after it. `round` tells apart what can
/// happen to a refund more than once. The same again posts nothing.
///
/// # Errors
/// The database's.
pub async fn refund_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    moved: &[(RefundMove, Money)],
    round: Round,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query!(
        r#"select p.payment_id, p.order_id, p.gateway, r.reference, r.amount_minor, r.currency, o.event_id,
                  booking.is_the_orders(p, o.currency) as "is_the_orders!"
           from booking.refunds r
           join booking.payments p using (payment_id)
           join booking.orders o on o.order_id = p.order_id
           where r.refund_id = $1"#,
        refund.0
    )
    .fetch_one(&mut *tx)
    .await?;
    let charge = CapturedCharge {
        payment_id: row.payment_id,
        order_id: row.order_id,
        gateway: row.gateway,
        reference: row.reference,
        amount_minor: row.amount_minor,
        currency: row.currency,
        event_id: row.event_id,
        is_the_orders: row.is_the_orders,
    };
    let postings = moved
        .iter()
        .map(|(moved, amount)| {
            let about = About { refund_id: Some(refund), ..charge.about()? };
            let key = format!("{}:{refund}:{round}", moved.kind());
            Ok(Posting::of_two(moved.kind(), key, about, moved.accounts(&charge), *amount)?)
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    post_in_tx(tx, &postings).await
}
