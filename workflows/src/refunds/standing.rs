//! Where the money of a refund stands, and what the ledger is told when that has changed: what is outstanding is in
//! `refunds:failed` once the gateway has said no for good, and in `refunds:inFlight` until then.

use super::request::money_of;
use crate::{
    ids::RefundId,
    ledger::{self, RefundMove, Round},
    money::Money,
};
use sqlx::PgConnection;

/// Where the money of a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// What has not gone back.
    outstanding: Money,
    /// No try follows without a person.
    has_failed: bool,
}

/// As the refund's row says, which is locked.
pub(super) async fn standing_in_tx(tx: &mut PgConnection, refund: RefundId) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query!(
        r#"select outstanding_minor as "outstanding_minor!", currency, state = 'failed' as "has_failed!"
           from booking.refunds where refund_id = $1 for update"#,
        refund.0
    )
    .fetch_one(tx)
    .await?;
    let outstanding = money_of(row.outstanding_minor, &row.currency, refund)?;
    Ok(Standing { outstanding, has_failed: row.has_failed })
}

/// Posts what has become of a refund since it stood as `before`, which is of this generation of its key.
pub(super) async fn post_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    before: Standing,
    generation: i32,
) -> Result<(), sqlx::Error> {
    let moved = moves(before, standing_in_tx(tx, refund).await?);
    if moved.is_empty() {
        return Ok(());
    }
    ledger::refund_in_tx(tx, refund, &moved, Round::Generation(generation)).await
}

/// What goes back, or comes back to us, and then where the rest of it stands.
fn moves(before: Standing, after: Standing) -> Vec<(RefundMove, Money)> {
    let money = |amount_minor| Money::new(amount_minor, before.outstanding.currency);
    let (was, is) = (before.outstanding.amount_minor, after.outstanding.amount_minor);
    let flow = match (was.saturating_sub(is), before.has_failed, after.has_failed) {
        (0, ..) => None,
        (back @ 1.., false, _) => Some((RefundMove::Succeeded, money(back))),
        (back @ 1.., true, _) => Some((RefundMove::SucceededAfterAll, money(back))),
        (back, _, true) => Some((RefundMove::Reversed, money(back.saturating_neg()))),
        (back, _, false) => Some((RefundMove::ReversedMeanwhile, money(back.saturating_neg()))),
    };
    let rest = money(was.min(is));
    let turn = match (before.has_failed, after.has_failed) {
        (false, true) => Some((RefundMove::Failed, rest)),
        (true, false) => Some((RefundMove::Replayed, rest)),
        _ => None,
    };
    flow.into_iter().chain(turn.filter(|_| rest.amount_minor > 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    fn standing(outstanding: i64, has_failed: bool) -> Standing {
        Standing { outstanding: eur(outstanding), has_failed }
    }

    #[test]
    fn each_turn_of_a_refund_has_its_postings() {
        let under_way = standing(45, false);
        let failed = standing(45, true);
        let done = standing(0, false);
        assert_eq!(moves(under_way, under_way), []);
        assert_eq!(moves(under_way, done), [(RefundMove::Succeeded, eur(45))]);
        assert_eq!(moves(under_way, standing(20, false)), [(RefundMove::Succeeded, eur(25))]);
        assert_eq!(moves(under_way, failed), [(RefundMove::Failed, eur(45))]);
        assert_eq!(moves(failed, under_way), [(RefundMove::Replayed, eur(45))]);
        assert_eq!(moves(failed, done), [(RefundMove::SucceededAfterAll, eur(45))]);
        assert_eq!(moves(done, failed), [(RefundMove::Reversed, eur(45))]);
        // a part comes back to us while the rest is asked for, and then the rest goes back
        assert_eq!(moves(standing(20, false), under_way), [(RefundMove::ReversedMeanwhile, eur(25))]);
        let rest = [(RefundMove::Succeeded, eur(20)), (RefundMove::Failed, eur(25))];
        assert_eq!(moves(under_way, standing(25, true)), rest);
    }

    proptest! {
        /// Whatever turns it takes, each of the two accounts has what the row says, and the gateway the rest.
        #[test]
        fn the_accounts_have_what_the_row_says(turns in prop::collection::vec((0_i64..100, any::<bool>()), 0..20)) {
            let mut before = standing(99, false);
            // owed to the buyer, on its way and refused
            let (mut in_flight, mut refused) = (99, 0);
            for (outstanding, has_failed) in turns {
                // nothing outstanding is nothing refused
                let after = standing(outstanding, has_failed && outstanding > 0);
                for (moved, Money { amount_minor, .. }) in moves(before, after) {
                    prop_assert!(amount_minor > 0);
                    match moved {
                        RefundMove::Succeeded => in_flight -= amount_minor,
                        RefundMove::SucceededAfterAll => refused -= amount_minor,
                        RefundMove::Reversed => refused += amount_minor,
                        RefundMove::ReversedMeanwhile => in_flight += amount_minor,
                        RefundMove::Failed => (in_flight, refused) = (in_flight - amount_minor, refused + amount_minor),
                        RefundMove::Replayed => (in_flight, refused) = (in_flight + amount_minor, refused - amount_minor),
                        RefundMove::Requested | RefundMove::Withdrawn => prop_assert!(false, "{moved:?}"),
                    }
                }
                let told = if after.has_failed { (0, outstanding) } else { (outstanding, 0) };
                prop_assert_eq!((in_flight, refused), told);
                before = after;
            }
        }
    }
}
