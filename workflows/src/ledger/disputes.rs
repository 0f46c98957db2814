//! What disputes post: what the gateway keeps back, and what becomes of it.

use super::{About, Account, Posting, PostingKind, Unbalanced, post_in_tx};
use crate::{
    gateways::Reference,
    ids::{OrderId, PaymentId},
    money::{Money, currency_from_code},
    orders::impossible,
};
use sqlx::PgConnection;

/// A dispute of one of our charges, as the newest news of it says.
#[derive(Debug, Clone)]
pub(crate) struct Dispute {
    pub(crate) gateway: String,
    /// The gateway's name for the dispute.
    pub(crate) reference: Reference,
    pub(crate) payment_id: PaymentId,
    pub(crate) order_id: Option<OrderId>,
    pub(crate) amount: Money,
    /// In the gateway's words.
    pub(crate) status: String,
}

/// Where a dispute's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// With us: somebody only asks.
    Inquiry,
    /// Kept back.
    Opened,
    /// With us again.
    Won,
    /// Gone.
    Lost,
}

impl Stage {
    /// By what Stripe and Adyen call it; a word that nobody knows moves no money.
    fn of(status: &str) -> Self {
        match status {
            "needs_response" | "under_review" | "CHARGEBACK" => Self::Opened,
            "won" | "CHARGEBACK_REVERSED" | "PREARBITRATION_WON" => Self::Won,
            "lost" | "SECOND_CHARGEBACK" | "PREARBITRATION_LOST" => Self::Lost,
            _ => Self::Inquiry,
        }
    }
}

/// What the ledger says of a dispute so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Booked {
    held: Option<Money>,
    lost: Option<Money>,
}

/// What is to be posted: its kind, where the money goes to, where it comes from, and how much it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moved(PostingKind, Account, Account, Money);

/// What brings the ledger to where the dispute is, whatever of its story was not heard.
fn moves(gateway: &str, stage: Stage, amount: Money, booked: Booked) -> Vec<Moved> {
    let clearing = || Account::Clearing(gateway.to_owned());
    let disputes = || Account::Disputes(gateway.to_owned());
    let opened = || Moved(PostingKind::DisputeOpened, disputes(), clearing(), amount);
    let lost = |amount| Moved(PostingKind::DisputeLost, Account::DisputesLost, disputes(), amount);
    let won = |from, amount| Moved(PostingKind::DisputeWon, clearing(), from, amount);
    match (stage, booked.held, booked.lost) {
        (Stage::Opened, None, None) => vec![opened()],
        (Stage::Lost, None, None) => vec![opened(), lost(amount)],
        (Stage::Lost, Some(held), _) => vec![lost(held)],
        (Stage::Won, Some(held), _) => vec![won(disputes(), held)],
        (Stage::Won, None, Some(gone)) => vec![won(Account::DisputesLost, gone)],
        (Stage::Won, None, None) | (Stage::Inquiry, ..) | (Stage::Opened, ..) | (Stage::Lost, None, Some(_)) => {
            Vec::new()
        }
    }
}

/// Posts what news has changed about a dispute, in the transaction that writes them down and after it. `news` is their id.
pub(crate) async fn dispute_in_tx(tx: &mut PgConnection, dispute: &Dispute, news: &str) -> Result<(), sqlx::Error> {
    let Dispute { gateway, reference, .. } = dispute;
    let booked = booked(tx, gateway, reference).await?;
    let about = || About {
        order_id: dispute.order_id,
        payment_id: Some(dispute.payment_id),
        gateway: Some(gateway.clone()),
        reference: Some(reference.clone()),
        reason: Some(dispute.status.clone()),
        ..About::default()
    };
    let postings = moves(gateway, Stage::of(&dispute.status), dispute.amount, booked)
        .into_iter()
        .map(|Moved(kind, debit, credit, amount)| {
            Posting::of_two(kind, format!("{kind}:{gateway}:{reference}:{news}"), about(), (debit, credit), amount)
        })
        .collect::<Result<Vec<_>, Unbalanced>>()?;
    post_in_tx(tx, &postings).await
}

async fn booked(tx: &mut PgConnection, gateway: &str, reference: &Reference) -> Result<Booked, sqlx::Error> {
    let rows = sqlx::query!(
        r#"-- by indexes alone
           select a.name, e.currency, sum(e.amount_minor)::bigint as "amount_minor!"
           from booking.ledger_postings p
           join booking.ledger_entries e using (posting_id)
           join booking.ledger_accounts a using (account_id)
           where p.gateway = $1 and p.reference = $2 and p.kind like 'dispute%'
           group by a.name, e.currency
           having sum(e.amount_minor) <> 0"#,
        gateway,
        reference.as_str()
    )
    .fetch_all(tx)
    .await?;
    let (held_in, lost_in) = (Account::Disputes(gateway.to_owned()).to_string(), Account::DisputesLost.to_string());
    let mut booked = Booked::default();
    for row in rows {
        let wrong = |error| impossible("booking.ledger_entries", "currency", reference, error);
        let amount = Money::new(row.amount_minor, currency_from_code(&row.currency).map_err(wrong)?);
        if row.name == held_in {
            booked.held = Some(amount);
        } else if row.name == lost_in {
            booked.lost = Some(amount);
        }
    }
    Ok(booked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    const STATUSES: [&str; 9] = [
        "warning_needs_response",
        "needs_response",
        "under_review",
        "won",
        "lost",
        "CHARGEBACK",
        "CHARGEBACK_REVERSED",
        "SECOND_CHARGEBACK",
        "a word of tomorrow",
    ];

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    /// The ledger after these news, one after the other.
    fn after<'a>(statuses: impl IntoIterator<Item = &'a str>) -> (Booked, i64) {
        let (mut held, mut lost, mut clearing) = (0, 0, 0);
        let booked = |held: i64, lost: i64| {
            let some = |amount| (amount != 0).then(|| eur(amount));
            Booked { held: some(held), lost: some(lost) }
        };
        for status in statuses {
            for Moved(_, debit, credit, amount) in moves("a", Stage::of(status), eur(100), booked(held, lost)) {
                for (account, amount) in [(debit, amount.amount_minor), (credit, -amount.amount_minor)] {
                    match account {
                        Account::Disputes(_) => held += amount,
                        Account::DisputesLost => lost += amount,
                        _ => clearing += amount,
                    }
                }
            }
        }
        (booked(held, lost), clearing)
    }

    #[test]
    fn money_is_where_the_dispute_is() {
        let at_rest = (Booked::default(), 0);
        let held = (Booked { held: Some(eur(100)), lost: None }, -100);
        let gone = (Booked { held: None, lost: Some(eur(100)) }, -100);
        assert_eq!(after(["warning_needs_response", "warning_closed"]), at_rest);
        assert_eq!(after(["needs_response", "under_review"]), held);
        assert_eq!(after(["needs_response", "won"]), at_rest);
        assert_eq!(after(["needs_response", "under_review", "lost"]), gone);
        assert_eq!(after(["NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "CHARGEBACK_REVERSED"]), at_rest);
        assert_eq!(after(["CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"]), gone);
        assert_eq!(after(["lost"]), gone, "although nobody told that it was opened");
        assert_eq!(after(["won"]), at_rest);
        assert_eq!(after(["CHARGEBACK", "PREARBITRATION_LOST", "PREARBITRATION_WON"]), at_rest);
    }

    proptest! {
        #[test]
        fn whatever_is_heard_no_money_is_made(news in proptest::collection::vec(0_usize..9, 0..12)) {
            let (booked, clearing) = after(news.iter().map(|status| STATUSES[*status]));
            let amount = |part: Option<Money>| part.map_or(0, |money| money.amount_minor);
            prop_assert_eq!(amount(booked.held) + amount(booked.lost) + clearing, 0);
            prop_assert!(clearing == 0 || clearing == -100);
        }
    }
}
