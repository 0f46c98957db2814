//! What a line is, beside its counterpart in our books, and what it posts. Nothing here asks the database.

use super::file::{Line, Movement};
use crate::{
    ledger::Account,
    money::{Money, MoneyError},
};
use orchestrator::ids::Uuid;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// How a line stands to our books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Both say the same.
    Matched,
    /// We have it, and no file has had it for too long.
    Missing,
    /// We do not have it.
    Unexpected,
    /// It is about more than we have.
    Over,
    /// About less.
    Under,
    /// In another currency.
    WrongCurrency,
    /// A line before it was the same, or was of the same.
    Duplicate,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Matched, Self::Missing, Self::Unexpected, Self::Over, Self::Under, Self::WrongCurrency, Self::Duplicate];

    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Over => "over",
            Self::Under => "under",
            Self::WrongCurrency => "wrongCurrency",
            Self::Duplicate => "duplicate",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an outcome")]
pub struct NotAnOutcome(pub String);

impl FromStr for Outcome {
    type Err = NotAnOutcome;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(|| NotAnOutcome(text.to_owned()))
    }
}

/// A line's counterpart: a posting, and what it has moved in the account of what the gateway has of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) posting: Uuid,
    /// As a line has it: what comes to us is positive.
    pub(super) amount: Money,
}

/// Where the same line, or one of the same, has been before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Nowhere,
    /// In an earlier file: reports overlap, and nobody has paid twice.
    EarlierFile,
    /// In this file, or under another name: there would be money twice.
    Twice,
}

/// How the line stands to its counterpart.
pub(super) fn judge(line: &Line, expected: Option<Expected>, before: Before) -> Outcome {
    if before != Before::Nowhere {
        return Outcome::Duplicate;
    }
    match (line.movement, expected) {
        // they have no counterpart
        (Movement::Fee | Movement::Payout, None) => Outcome::Matched,
        (_, None) => Outcome::Unexpected,
        (_, Some(expected)) => compare(line.gross, expected.amount),
    }
}

fn compare(gross: Money, expected: Money) -> Outcome {
    if gross.currency != expected.currency {
        return Outcome::WrongCurrency;
    }
    if gross == expected {
        return Outcome::Matched;
    }
    // of a refund, more is less than nothing
    let is_more = if expected.amount_minor < 0 {
        gross.amount_minor < expected.amount_minor
    } else {
        gross.amount_minor > expected.amount_minor
    };
    if is_more { Outcome::Over } else { Outcome::Under }
}

/// What a line of the file posts: what it paid, what it cost, what it settles, and what is left over.
pub(super) fn entries(gateway: &str, line: &Line, settles: Option<Money>) -> Result<Vec<(Account, Money)>, MoneyError> {
    if line.movement == Movement::Payout {
        // other lines have said so
        return Ok(Vec::new());
    }
    let mut entries =
        vec![(Account::Cash(gateway.to_owned()), line.net), (Account::Fees(gateway.to_owned()), line.fee)];
    if line.movement == Movement::Fee {
        // its own cost: nothing of it is a difference
        entries.push((Account::Fees(gateway.to_owned()), less(line.gross)?));
    } else {
        entries.push((Account::SettlementDifferences, less(line.gross)?));
    }
    if let Some(amount) = settles {
        entries.extend(agreed(gateway, amount)?);
    }
    Ok(entries)
}

/// What is posted when a line that is in the books already turns out to settle `amount`.
pub(super) fn agreed(gateway: &str, amount: Money) -> Result<[(Account, Money); 2], MoneyError> {
    Ok([(Account::Clearing(gateway.to_owned()), less(amount)?), (Account::SettlementDifferences, amount)])
}

/// What of a line is neither here nor there, by currency.
pub(super) fn differences(gross: Money, expected: Option<Money>) -> Result<Vec<Money>, MoneyError> {
    let mut sums: BTreeMap<&str, Money> = BTreeMap::new();
    for amount in [Some(less(gross)?), expected].into_iter().flatten() {
        let sum = sums.entry(amount.currency.code()).or_insert_with(|| Money::zero(amount.currency));
        *sum = sum.checked_add(amount)?;
    }
    Ok(sums.into_values().filter(|sum| sum.amount_minor != 0).collect())
}

/// The same the other way round.
pub(super) fn less(amount: Money) -> Result<Money, MoneyError> {
    Money::zero(amount.currency).checked_sub(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{About, Posting, PostingKind, Unbalanced};
    use crate::money::Currency;
    use proptest::prelude::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    fn usd(amount: i64) -> Money {
        Money::new(amount, Currency::USD)
    }

    fn line(movement: Movement, gross: Money, fee: i64) -> Line {
        let fee = Money::new(fee, gross.currency);
        Line {
            number: 2,
            movement,
            category: "x".to_owned(),
            identity: "x".to_owned(),
            payment: None,
            own: None,
            reference: None,
            gross,
            fee,
            net: gross.checked_sub(fee).unwrap(),
            at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn of(amount: Money) -> Expected {
        Expected { posting: Uuid::nil(), amount }
    }

    #[test]
    fn lines_are_judged_by_their_counterparts() {
        use Outcome as O;
        let judged = |gross: Money, expected| judge(&line(Movement::Capture, gross, 0), expected, Before::Nowhere);
        assert_eq!(judged(eur(4500), Some(of(eur(4500)))), O::Matched);
        assert_eq!(judged(eur(4600), Some(of(eur(4500)))), O::Over);
        assert_eq!(judged(eur(4400), Some(of(eur(4500)))), O::Under);
        assert_eq!(judged(eur(-4500), Some(of(eur(4500)))), O::Under);
        assert_eq!(judged(usd(4500), Some(of(eur(4500)))), O::WrongCurrency);
        assert_eq!(judged(eur(4500), None), O::Unexpected);
        // of a refund
        assert_eq!(judged(eur(-1100), Some(of(eur(-1000)))), O::Over);
        assert_eq!(judged(eur(-900), Some(of(eur(-1000)))), O::Under);

        for before in [Before::EarlierFile, Before::Twice] {
            assert_eq!(judge(&line(Movement::Capture, eur(4500), 0), Some(of(eur(4500))), before), O::Duplicate);
        }
        for movement in [Movement::Fee, Movement::Payout] {
            assert_eq!(judge(&line(movement, eur(-30), 0), None, Before::Nowhere), O::Matched);
        }
        assert_eq!(judge(&line(Movement::Other, eur(-30), 0), None, Before::Nowhere), O::Unexpected);
    }

    fn sums(entries: &[(Account, Money)]) -> BTreeMap<(Account, &'static str), i64> {
        let mut sums = BTreeMap::new();
        for (account, amount) in entries {
            *sums.entry((account.clone(), amount.currency.code())).or_insert(0) += amount.amount_minor;
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    #[test]
    fn what_is_paid_out_leaves_the_gateway() {
        let posted = |line: &Line, settles| sums(&entries("g", line, settles).unwrap());
        let [clearing, fees, cash] = [Account::Clearing, Account::Fees, Account::Cash].map(|of| of("g".to_owned()));
        let matched = posted(&line(Movement::Capture, eur(4500), 93), Some(eur(4500)));
        let expected = [((clearing.clone(), "EUR"), -4500), ((fees.clone(), "EUR"), 93), ((cash.clone(), "EUR"), 4407)];
        assert_eq!(matched, expected.into());
        let fee = posted(&line(Movement::Fee, eur(-30), 0), None);
        assert_eq!(fee, [((fees, "EUR"), 30), ((cash.clone(), "EUR"), -30)].into());
        let wrong = posted(&line(Movement::Capture, usd(5000), 0), Some(eur(4500)));
        let differences = Account::SettlementDifferences;
        let expected = [
            ((cash, "USD"), 5000),
            ((differences.clone(), "USD"), -5000),
            ((clearing, "EUR"), -4500),
            ((differences, "EUR"), 4500),
        ];
        assert_eq!(wrong, expected.into());
        assert!(posted(&line(Movement::Payout, eur(-30), 0), None).is_empty());
    }

    proptest! {
        #[test]
        fn lines_balance_and_leave_what_is_different(
            gross in -1_000_i64..1_000, fee in -50_i64..50, settles in proptest::option::of(-1_000_i64..1_000),
            is_usd: bool, is_fee: bool,
        ) {
            let gross = if is_usd { usd(gross) } else { eur(gross) };
            let movement = if is_fee { Movement::Fee } else { Movement::Capture };
            let settles = settles.filter(|_| !is_fee).map(eur);
            let entries = entries("g", &line(movement, gross, fee), settles).unwrap();
            let left: Vec<_> = sums(&entries).into_iter()
                .filter(|((account, _), _)| *account == Account::SettlementDifferences)
                .map(|((_, code), amount)| (code, amount))
                .collect();
            let expected: Vec<_> = if is_fee { Vec::new() } else {
                differences(gross, settles).unwrap().into_iter().map(|it| (it.currency.code(), it.amount_minor)).collect()
            };
            prop_assert_eq!(left, expected);
            match Posting::new(PostingKind::Settled, "k", About::default(), entries) {
                Ok(_) | Err(Unbalanced::Empty(_)) => {}
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
