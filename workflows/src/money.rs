//! Money: an integer of minor units and an ISO 4217 currency. Arithmetic is checked and refuses to mix
//! currencies; there are no floats, and no rounding that nobody asked for.
//!
//! An amount may be negative (a balance is signed). Where only a positive amount makes sense, say so with
//! [`Money::require_positive`].

pub use iso_currency::Currency;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;

/// An amount of one currency, in its minor units: 45.00 EUR is 4500, 45 JPY is 45, 4.500 BHD is 4500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units, by the exponent of ISO 4217.
    pub amount_minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a calculation with money was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two currencies in one calculation.
    #[error("{} and {} cannot be mixed", .left.code(), .right.code())]
    MixedCurrencies {
        /// The first one.
        left: Currency,
        /// The other one.
        right: Currency,
    },
    /// The result does not fit.
    #[error("the amount is too large")]
    Overflow,
    /// Zero or less where a positive amount is needed.
    #[error("{0} is not a positive amount")]
    NotPositive(Money),
    /// Not a code of ISO 4217, or one that nobody pays with (gold, testing, no currency).
    #[error("`{0}` is not a currency to pay with")]
    UnknownCurrency(String),
}

impl Money {
    /// So many minor units of a currency.
    #[must_use]
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// How many decimal places the currency has: 2 for EUR, 0 for JPY, 3 for BHD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.currency.exponent().map_or(0, u32::from)
    }

    /// Both together.
    ///
    /// # Errors
    /// Different currencies, or a sum that does not fit.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let sum = self.amount_minor.checked_add(other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(sum, self.currency))
    }

    /// This less the other.
    ///
    /// # Errors
    /// Different currencies, or a difference that does not fit.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let difference = self.amount_minor.checked_sub(other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(difference, self.currency))
    }

    /// So many times this.
    ///
    /// # Errors
    /// A product that does not fit.
    pub fn checked_mul(self, times: i64) -> Result<Self, MoneyError> {
        let product = self.amount_minor.checked_mul(times).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(product, self.currency))
    }

    /// All of them together; nothing when there are none.
    ///
    /// # Errors
    /// An amount in another currency than `currency`, or a sum that does not fit.
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }

    /// Parts that add up exactly, the larger ones first: 100.00 over 3 is 33.34, 33.33, 33.33.
    #[must_use]
    pub fn split(self, parts: NonZeroUsize) -> Vec<Self> {
        let count = i64::try_from(parts.get()).unwrap_or(i64::MAX);
        let share = self.amount_minor / count;
        let left_over = self.amount_minor % count;
        (0..count)
            .map(|index| if index < left_over.abs() { share + left_over.signum() } else { share })
            .map(|amount| Self::new(amount, self.currency))
            .collect()
    }

    /// Parts in the proportion of `weights` that add up exactly: what rounding down leaves over goes, one minor unit
    /// each, to the parts that lost most by it, the first of them where several lost the same. Weights that are all
    /// zero are all the same.
    #[must_use]
    pub fn split_by(self, weights: &[u64]) -> Vec<Self> {
        let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
        if whole == 0 {
            return NonZeroUsize::new(weights.len()).map_or_else(Vec::new, |parts| self.split(parts));
        }
        // below 2^127: an amount has 63 bits and a weight 64
        let exact = |weight: &u64| i128::from(self.amount_minor) * i128::from(*weight);
        let mut parts: Vec<i128> = weights.iter().map(|weight| exact(weight) / whole).collect();
        let mut losers: Vec<(i128, usize)> =
            weights.iter().enumerate().map(|(index, weight)| ((exact(weight) % whole).abs(), index)).collect();
        losers.sort_by_key(|(lost, index)| (std::cmp::Reverse(*lost), *index));
        let left_over = i128::from(self.amount_minor) - parts.iter().sum::<i128>();
        let each = left_over.signum();
        for (_, index) in losers.into_iter().take(usize::try_from(left_over.unsigned_abs()).unwrap_or(usize::MAX)) {
            parts[index] += each;
        }
        // no part is larger than the whole
        parts.into_iter().map(|part| Self::new(i64::try_from(part).unwrap_or_default(), self.currency)).collect()
    }

    /// This, when there is something of it.
    ///
    /// # Errors
    /// Zero or less.
    pub fn require_positive(self) -> Result<Self, MoneyError> {
        if self.amount_minor > 0 { Ok(self) } else { Err(MoneyError::NotPositive(self)) }
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::MixedCurrencies { left: self.currency, right: other.currency })
    }
}

/// A currency by its code, in capital letters.
///
/// # Errors
/// Not a code of ISO 4217, or one without minor units (gold, testing, no currency).
pub fn currency_from_code(code: &str) -> Result<Currency, MoneyError> {
    Currency::from_code(code)
        .filter(|currency| currency.exponent().is_some())
        .ok_or_else(|| MoneyError::UnknownCurrency(code.chars().take(8).collect()))
}

/// For people: `45.00 EUR`, `-4500 JPY`, `4.500 BHD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let digits = self.amount_minor.unsigned_abs();
        let code = self.currency.code();
        match self.exponent() {
            0 => write!(f, "{sign}{digits} {code}"),
            exponent => {
                let unit = 10_u64.pow(exponent);
                let width = usize::try_from(exponent).unwrap_or_default();
                write!(f, "{sign}{}.{:0width$} {code}", digits / unit, digits % unit)
            }
        }
    }
}

/// As it travels: `{"amount": 4500, "currency": "EUR"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    amount: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { amount: self.amount_minor, currency: Cow::Borrowed(self.currency.code()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let currency = currency_from_code(&wire.currency).map_err(serde::de::Error::custom)?;
        Ok(Self::new(wire.amount, currency))
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "amount": { "type": "integer", "format": "int64", "description": "Minor units." },
                "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217." }
            },
            "required": ["amount", "currency"],
            "additionalProperties": false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    fn parts(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn a_hundred_over_three_adds_up() {
        assert_eq!(eur(10_000).split(parts(3)), [eur(3334), eur(3333), eur(3333)]);
        assert_eq!(eur(-10_000).split(parts(3)), [eur(-3334), eur(-3333), eur(-3333)]);
        assert_eq!(eur(2).split(parts(3)), [eur(1), eur(1), eur(0)]);
    }

    #[test]
    fn a_hundred_over_three_prices_adds_up() {
        assert_eq!(eur(10_000).split_by(&[4500, 4500, 4500]), [eur(3334), eur(3333), eur(3333)]);
        assert_eq!(eur(10_000).split_by(&[3333, 3334, 3333]), [eur(3333), eur(3334), eur(3333)]);
        assert_eq!(eur(10_000).split_by(&[1, 2, 4]), [eur(1429), eur(2857), eur(5714)]);
        assert_eq!(eur(-10_000).split_by(&[1, 1, 1]), [eur(-3334), eur(-3333), eur(-3333)]);
        assert_eq!(eur(5).split_by(&[0, 0]), [eur(3), eur(2)]);
        assert_eq!(eur(5).split_by(&[0, 7]), [eur(0), eur(5)]);
        assert_eq!(eur(5).split_by(&[]), []);
    }

    #[test]
    fn exponents_are_those_of_iso_4217() {
        assert_eq!(Money::new(4500, Currency::JPY).to_string(), "4500 JPY");
        assert_eq!(Money::new(4500, Currency::BHD).to_string(), "4.500 BHD");
        assert_eq!(eur(4500).to_string(), "45.00 EUR");
        assert_eq!(eur(-5).to_string(), "-0.05 EUR");
        assert_eq!(eur(i64::MIN).to_string(), "-92233720368547758.08 EUR");
    }

    #[test]
    fn currencies_do_not_mix_and_sums_do_not_wrap() {
        let usd = Money::new(1, Currency::USD);
        let mixed = MoneyError::MixedCurrencies { left: Currency::EUR, right: Currency::USD };
        assert_eq!(eur(1).checked_add(usd), Err(mixed.clone()));
        assert_eq!(eur(1).checked_sub(usd), Err(mixed.clone()));
        assert_eq!(Money::sum(Currency::EUR, [eur(1), usd]), Err(mixed));
        assert_eq!(eur(i64::MAX).checked_add(eur(1)), Err(MoneyError::Overflow));
        assert_eq!(eur(i64::MIN).checked_sub(eur(1)), Err(MoneyError::Overflow));
        assert_eq!(eur(i64::MAX).checked_mul(2), Err(MoneyError::Overflow));
        assert_eq!(Money::sum(Currency::EUR, []), Ok(eur(0)));
    }

    #[test]
    fn only_more_than_nothing_is_positive() {
        assert_eq!(eur(1).require_positive(), Ok(eur(1)));
        assert_eq!(eur(0).require_positive(), Err(MoneyError::NotPositive(eur(0))));
        assert_eq!(eur(-1).require_positive(), Err(MoneyError::NotPositive(eur(-1))));
    }

    #[test]
    fn travels_as_integers_only() {
        let read = |text: &str| serde_json::from_str::<Money>(text);
        assert_eq!(serde_json::to_value(eur(4500)).unwrap(), json!({"amount": 4500, "currency": "EUR"}));
        assert_eq!(read(r#"{"amount": -4500, "currency": "EUR"}"#).unwrap(), eur(-4500));
        for refused in [
            r#"{"amount": 45.0, "currency": "EUR"}"#,
            r#"{"amount": 4.5e3, "currency": "EUR"}"#,
            r#"{"amount": "4500", "currency": "EUR"}"#,
            r#"{"amount": 9223372036854775808, "currency": "EUR"}"#,
            r#"{"amount": 4500, "currency": "eur"}"#,
            r#"{"amount": 4500, "currency": "XXX"}"#,
            r#"{"amount": 4500, "currency": "ZZZ"}"#,
            r#"{"amount": 4500}"#,
            r#"{"amount": 4500, "currency": "EUR", "note": 1}"#,
        ] {
            assert!(read(refused).is_err(), "{refused}");
        }
        // From a value as well as from text.
        assert_eq!(serde_json::from_value::<Money>(json!({"amount": 1, "currency": "EUR"})).unwrap(), eur(1));
    }

    proptest! {
        #[test]
        fn parts_add_up_and_differ_by_one_at_most(amount: i64, count in 1_usize..200) {
            let shares = eur(amount).split(parts(count));
            prop_assert_eq!(shares.len(), count);
            prop_assert_eq!(Money::sum(Currency::EUR, shares.iter().copied()), Ok(eur(amount)));
            let largest = shares.iter().map(|share| share.amount_minor).max().unwrap();
            let smallest = shares.iter().map(|share| share.amount_minor).min().unwrap();
            prop_assert!(largest - smallest <= 1);
        }

        #[test]
        fn weighted_parts_add_up_and_are_off_by_less_than_one(
            amount: i64,
            weights in proptest::collection::vec(0_u64..1_000_000_000_000, 1..60),
        ) {
            let shares = eur(amount).split_by(&weights);
            prop_assert_eq!(shares.len(), weights.len());
            prop_assert_eq!(Money::sum(Currency::EUR, shares.iter().copied()), Ok(eur(amount)));
            let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
            for (share, weight) in shares.iter().zip(&weights) {
                // in parts of a minor unit, of which it has `whole`
                let exact = i128::from(amount) * i128::from(*weight);
                let off = i128::from(share.amount_minor) * whole - exact;
                prop_assert!(whole == 0 || off.abs() < whole, "{share} of {weight}");
            }
        }

        #[test]
        fn the_same_weights_are_an_even_split(amount: i64, weight in 1_u64..1_000_000, count in 1_usize..60) {
            prop_assert_eq!(eur(amount).split_by(&vec![weight; count]), eur(amount).split(parts(count)));
        }

        #[test]
        fn what_is_written_is_read(amount: i64) {
            let text = serde_json::to_string(&eur(amount)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&text).unwrap(), eur(amount));
        }

        #[test]
        fn adding_and_taking_away_is_nothing(left in any::<i32>(), right in any::<i32>()) {
            let (left, right) = (eur(left.into()), eur(right.into()));
            prop_assert_eq!(left.checked_add(right).unwrap().checked_sub(right), Ok(left));
        }
    }
}
