//! One posting: entries that balance, and what they are about.

use super::Account;
use crate::{
    gateways::Reference,
    ids::{OrderId, PaymentId, PostingId, RefundId},
    money::{Money, MoneyError},
};
use std::{collections::BTreeMap, fmt};

/// What happened to the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostingKind {
    /// A charge has taken its order's money.
    Capture,
    /// A charge has taken money that is not its order's.
    LateCapture,
    /// What a charge has taken is its order's no longer.
    LeftBehind,
    /// Money is to go back.
    RefundRequested,
    /// And is not, after all.
    RefundWithdrawn,
    /// It is back.
    RefundSucceeded,
    /// The gateway has said no.
    RefundFailed,
    /// And is asked once more.
    RefundReplayed,
    /// What was back is with us again.
    RefundReversed,
    /// A buyer's bank disputes a charge, and the gateway keeps the money back.
    DisputeOpened,
    /// It is ours after all.
    DisputeWon,
    /// It is gone.
    DisputeLost,
    /// A gateway has paid out, and kept its fees.
    Settled,
    /// A settlement says otherwise than the ledger.
    SettlementDifference,
    /// A difference that was given up.
    WrittenOff,
}

impl PostingKind {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::LateCapture => "lateCapture",
            Self::LeftBehind => "leftBehind",
            Self::RefundRequested => "refundRequested",
            Self::RefundWithdrawn => "refundWithdrawn",
            Self::RefundSucceeded => "refundSucceeded",
            Self::RefundFailed => "refundFailed",
            Self::RefundReplayed => "refundReplayed",
            Self::RefundReversed => "refundReversed",
            Self::DisputeOpened => "disputeOpened",
            Self::DisputeWon => "disputeWon",
            Self::DisputeLost => "disputeLost",
            Self::Settled => "settled",
            Self::SettlementDifference => "settlementDifference",
            Self::WrittenOff => "writtenOff",
        }
    }
}

impl fmt::Display for PostingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One account's part in a posting: debit is positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which account.
    pub account: Account,
    /// How much.
    pub amount: Money,
}

/// What a posting is about, as far as there is such a thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The order.
    pub order_id: Option<OrderId>,
    /// The charge.
    pub payment_id: Option<PaymentId>,
    /// The refund.
    pub refund_id: Option<RefundId>,
    /// The gateway.
    pub gateway: Option<String>,
    /// The gateway's name for it.
    pub reference: Option<Reference>,
    /// Why, where a person or a gateway has said so.
    pub reason: Option<String>,
}

/// Entries that balance. Once written it is never changed: a mistake is corrected by another posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    id: PostingId,
    kind: PostingKind,
    key: String,
    about: About,
    entries: Vec<Entry>,
}

/// Why entries are no posting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// They come to something.
    #[error("the posting {key} is {too_much} out of balance")]
    TooMuch {
        /// Which.
        key: String,
        /// How much more is debited than credited.
        too_much: Money,
    },
    /// They move no money.
    #[error("the posting {0} moves no money")]
    Empty(String),
    /// They cannot be added up.
    #[error("the posting {key}")]
    Money {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: MoneyError,
    },
}

impl Posting {
    /// The posting of these entries: those of one account and currency are one, and what comes to nothing is none. The
    /// same `key` again posts nothing.
    ///
    /// # Errors
    /// See [`Unbalanced`].
    pub fn new(
        kind: PostingKind,
        key: impl Into<String>,
        about: About,
        entries: impl IntoIterator<Item = (Account, Money)>,
    ) -> Result<Self, Unbalanced> {
        let key = key.into();
        let wrong = |source| Unbalanced::Money { key: key.clone(), source };
        let mut sums: BTreeMap<&str, Money> = BTreeMap::new();
        let mut merged: BTreeMap<(Account, &str), Money> = BTreeMap::new();
        for (account, amount) in entries {
            let code = amount.currency.code();
            add(&mut sums, code, amount).map_err(wrong)?;
            add(&mut merged, (account, code), amount).map_err(wrong)?;
        }
        if let Some(&too_much) = sums.values().find(|sum| sum.amount_minor != 0) {
            return Err(Unbalanced::TooMuch { key, too_much });
        }
        let entries: Vec<_> = merged
            .into_iter()
            .filter(|(_, amount)| amount.amount_minor != 0)
            .map(|((account, _), amount)| Entry { account, amount })
            .collect();
        if entries.is_empty() {
            return Err(Unbalanced::Empty(key));
        }
        Ok(Self { id: PostingId::fresh(), kind, key, about, entries })
    }

    /// `amount` from one account to another: what is debited first, as bookkeepers say it.
    ///
    /// # Errors
    /// Where it is nothing, or both accounts are the same.
    pub fn of_two(
        kind: PostingKind,
        key: impl Into<String>,
        about: About,
        (debit, credit): (Account, Account),
        amount: Money,
    ) -> Result<Self, Unbalanced> {
        let key = key.into();
        let less = Money::zero(amount.currency).checked_sub(amount);
        let less = less.map_err(|source| Unbalanced::Money { key: key.clone(), source })?;
        Self::new(kind, key, about, [(debit, amount), (credit, less)])
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> PostingId {
        self.id
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> PostingKind {
        self.kind
    }

    /// By which a repeat is recognised.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it is about.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// Its entries, by account.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

fn add<Key: Ord>(sums: &mut BTreeMap<Key, Money>, key: Key, amount: Money) -> Result<(), MoneyError> {
    let sum = sums.entry(key).or_insert_with(|| Money::zero(amount.currency));
    *sum = sum.checked_add(amount)?;
    Ok(())
}

/// An impossible posting is the database's error to its caller: it rolls everything back, and is in the log.
impl From<Unbalanced> for sqlx::Error {
    fn from(unbalanced: Unbalanced) -> Self {
        Self::Encode(Box::new(unbalanced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    fn account(number: usize) -> Account {
        [Account::Doubt, Account::RefundsInFlight, Account::DisputesLost, Account::Clearing("primary".to_owned())]
            [number % 4]
            .clone()
    }

    fn currency(number: usize) -> Currency {
        [Currency::EUR, Currency::JPY, Currency::BHD][number % 3]
    }

    fn posting(entries: impl IntoIterator<Item = (Account, Money)>) -> Result<Posting, Unbalanced> {
        Posting::new(PostingKind::Capture, "capture:x", About::default(), entries)
    }

    fn arbitrary_entries() -> impl Strategy<Value = Vec<(Account, Money)>> {
        let entry = (0_usize..4, 0_usize..3, -1_000_i64..1_000)
            .prop_map(|(of, unit, amount)| (account(of), Money::new(amount, currency(unit))));
        proptest::collection::vec(entry, 0..12)
    }

    /// What each currency comes to.
    fn sums(entries: impl IntoIterator<Item = Money>) -> BTreeMap<&'static str, i64> {
        let mut sums = BTreeMap::new();
        for amount in entries {
            *sums.entry(amount.currency.code()).or_default() += amount.amount_minor;
        }
        sums
    }

    proptest! {
        #[test]
        fn a_posting_is_what_balances_in_each_currency(entries in arbitrary_entries()) {
            let balances = sums(entries.iter().map(|(_, amount)| *amount)).values().all(|sum| *sum == 0);
            match posting(entries) {
                Ok(posting) => {
                    prop_assert!(balances);
                    prop_assert!(posting.entries().len() >= 2);
                    prop_assert!(posting.entries().iter().all(|entry| entry.amount.amount_minor != 0));
                    prop_assert!(sums(posting.entries().iter().map(|entry| entry.amount)).values().all(|sum| *sum == 0));
                }
                Err(Unbalanced::Empty(_)) => prop_assert!(balances),
                Err(_) => prop_assert!(!balances),
            }
        }

        #[test]
        fn what_is_missing_is_said(entries in arbitrary_entries(), more in 1_i64..1_000) {
            // balanced by its opposite, and then one entry too much
            let opposite = entries.iter().map(|(of, amount)| (of.clone(), Money::new(-amount.amount_minor, amount.currency)));
            let extra = Money::new(more, Currency::EUR);
            let all: Vec<_> = entries.iter().cloned().chain(opposite).chain([(Account::Doubt, extra)]).collect();
            prop_assert_eq!(posting(all), Err(Unbalanced::TooMuch { key: "capture:x".to_owned(), too_much: extra }));
        }

        #[test]
        fn two_accounts_balance(amount in 1_i64..i64::MAX) {
            let amount = Money::new(amount, Currency::EUR);
            let two = (Account::Doubt, Account::RefundsInFlight);
            let posting = Posting::of_two(PostingKind::RefundRequested, "k", About::default(), two, amount).unwrap();
            let debit = posting.entries().iter().find(|entry| entry.account == Account::Doubt).unwrap();
            prop_assert_eq!(debit.amount, amount);
        }
    }

    #[test]
    fn nothing_is_no_posting_and_sums_do_not_wrap() {
        let eur = |amount| Money::new(amount, Currency::EUR);
        assert_eq!(posting([]), Err(Unbalanced::Empty("capture:x".to_owned())));
        let same = [(Account::Doubt, eur(5)), (Account::Doubt, eur(-5))];
        assert_eq!(posting(same), Err(Unbalanced::Empty("capture:x".to_owned())));
        let huge = [(Account::Doubt, eur(i64::MAX)), (Account::DisputesLost, eur(1))];
        assert!(matches!(posting(huge), Err(Unbalanced::Money { source: MoneyError::Overflow, .. })));
        let least = eur(i64::MIN);
        let two = (Account::Doubt, Account::DisputesLost);
        let wrapped = Posting::of_two(PostingKind::DisputeLost, "k", About::default(), two, least);
        assert!(matches!(wrapped, Err(Unbalanced::Money { source: MoneyError::Overflow, .. })));
    }
}
