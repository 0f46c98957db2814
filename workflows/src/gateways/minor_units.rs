//! Between our minor units, which are those of ISO 4217, and a protocol's own.

use super::requests::AmountError;
use crate::money::{Currency, Money, MoneyError, currency_from_code};

/// How many decimal places a protocol charges a currency with; none where it does not charge in it.
pub(super) type Exponent = fn(Currency) -> Option<u32>;

/// The number that the protocol is sent.
///
/// # Errors
/// The protocol cannot move this amount.
pub(super) fn to_protocol(amount: Money, exponent: Exponent) -> Result<i64, AmountError> {
    let unsupported = || AmountError::UnsupportedCurrency(amount.currency.code().to_owned());
    let theirs = exponent(amount.currency).ok_or_else(unsupported)?;
    if amount.amount_minor <= 0 {
        return Err(AmountError::NotPositive(amount));
    }
    rescale(amount.amount_minor, amount.exponent(), theirs, amount)
}

/// What a number and a currency of the protocol's mean, whatever the case of the currency's code.
///
/// # Errors
/// A currency that the protocol does not charge in, or a number that does not fit.
pub(super) fn from_protocol(number: i64, currency: &str, exponent: Exponent) -> Result<Money, MoneyError> {
    let currency = currency_from_code(&currency.to_ascii_uppercase())?;
    let theirs = exponent(currency).ok_or_else(|| MoneyError::UnknownCurrency(currency.code().to_owned()))?;
    let ours = Money::zero(currency).exponent();
    let amount = Money::new(number, currency);
    rescale(number, theirs, ours, amount).map(|minor| Money::new(minor, currency)).map_err(|_| MoneyError::Overflow)
}

fn rescale(number: i64, from: u32, to: u32, amount: Money) -> Result<i64, AmountError> {
    let factor = 10_i64.pow(from.abs_diff(to));
    if to >= from {
        return number.checked_mul(factor).ok_or(AmountError::TooLarge(amount));
    }
    if number % factor == 0 { Ok(number / factor) } else { Err(AmountError::TooPrecise(amount)) }
}
