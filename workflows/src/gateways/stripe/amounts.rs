//! What Stripe's amounts mean: its own number of decimal places for each currency, and its smallest charges.
//! <https://docs.stripe.com/currencies>

use crate::gateways::minor_units::{from_protocol, to_protocol};
use crate::gateways::requests::AmountError;
use crate::money::{Currency, Money, MoneyError};

/// Charged in whole units, whatever ISO 4217 says.
const ZERO_DECIMAL: &[Currency] = &[
    Currency::BIF,
    Currency::CLP,
    Currency::DJF,
    Currency::GNF,
    Currency::JPY,
    Currency::KMF,
    Currency::KRW,
    Currency::MGA,
    Currency::PYG,
    Currency::RWF,
    Currency::VND,
    Currency::VUV,
    Currency::XAF,
    Currency::XOF,
    Currency::XPF,
];
/// Without decimal places by ISO 4217, but charged with two that must be 00. A table of exponents is enough: our
/// amounts have none to begin with.
const ZERO_DECIMAL_WRITTEN_WITH_TWO: &[Currency] = &[Currency::ISK, Currency::UGX];
/// Charged with three decimal places, of which the last must be 0.
const THREE_DECIMAL: &[Currency] = &[Currency::BHD, Currency::JOD, Currency::KWD, Currency::OMR, Currency::TND];

/// The smallest charges, in Stripe's own minor units.
const MINIMUM: &[(Currency, i64)] = &[
    (Currency::AED, 200),
    (Currency::AUD, 50),
    (Currency::BGN, 100),
    (Currency::BRL, 50),
    (Currency::CAD, 50),
    (Currency::CHF, 50),
    (Currency::CZK, 1500),
    (Currency::DKK, 250),
    (Currency::EUR, 50),
    (Currency::GBP, 30),
    (Currency::HKD, 400),
    (Currency::HUF, 17_500),
    (Currency::INR, 50),
    (Currency::JPY, 50),
    (Currency::MXN, 1000),
    (Currency::MYR, 200),
    (Currency::NOK, 300),
    (Currency::NZD, 50),
    (Currency::PLN, 200),
    (Currency::RON, 200),
    (Currency::SEK, 300),
    (Currency::SGD, 50),
    (Currency::THB, 1000),
    (Currency::USD, 50),
];

/// How many decimal places Stripe charges a currency with; none where it does not charge in it.
fn exponent(currency: Currency) -> Option<u32> {
    if ZERO_DECIMAL.contains(&currency) {
        return Some(0);
    }
    if THREE_DECIMAL.contains(&currency) {
        return Some(3);
    }
    let is_usual = currency.exponent() == Some(2) || ZERO_DECIMAL_WRITTEN_WITH_TWO.contains(&currency);
    is_usual.then_some(2)
}

/// The number that Stripe is sent for a refund, or for a charge that is large enough.
///
/// # Errors
/// Stripe cannot move this amount.
pub(super) fn to_stripe(amount: Money) -> Result<i64, AmountError> {
    let number = to_protocol(amount, exponent)?;
    if THREE_DECIMAL.contains(&amount.currency) && number % 10 != 0 {
        return Err(AmountError::TooPrecise(amount));
    }
    Ok(number)
}

/// The number that Stripe is sent for a charge.
///
/// # Errors
/// Stripe cannot charge this amount.
pub(super) fn charge_to_stripe(amount: Money) -> Result<i64, AmountError> {
    let number = to_stripe(amount)?;
    match MINIMUM.iter().find(|(currency, _)| *currency == amount.currency) {
        Some((_, minimum)) if number < *minimum => {
            let minimum = from_stripe(*minimum, amount.currency.code())
                .map_err(|_| AmountError::UnsupportedCurrency(amount.currency.code().to_owned()))?;
            Err(AmountError::BelowMinimum { amount, minimum })
        }
        _ => Ok(number),
    }
}

/// What a number and a currency of Stripe's mean.
///
/// # Errors
/// A currency that Stripe does not charge in, or a number that does not fit.
pub(super) fn from_stripe(number: i64, currency: &str) -> Result<Money, MoneyError> {
    from_protocol(number, currency, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::currency_from_code;

    fn money(amount: i64, code: &str) -> Money {
        Money::new(amount, currency_from_code(code).unwrap())
    }

    #[test]
    fn exponents_are_stripes_where_they_differ() {
        for (amount, number) in [
            (money(4500, "EUR"), 4500),
            (money(4500, "JPY"), 4500),
            (money(4500, "BHD"), 4500), // 4.500
            (money(5, "ISK"), 500),
            (money(5, "UGX"), 500),
            (money(500, "MGA"), 5),
            (money(1050, "HUF"), 1050),
        ] {
            assert_eq!(to_stripe(amount), Ok(number), "{amount}");
            assert_eq!(from_stripe(number, &amount.currency.code().to_lowercase()), Ok(amount), "{amount}");
        }
    }

    #[test]
    fn what_stripe_cannot_write_is_refused() {
        for amount in [money(4501, "BHD"), money(501, "MGA")] {
            assert_eq!(to_stripe(amount), Err(AmountError::TooPrecise(amount)));
        }
        for amount in [money(0, "EUR"), money(-1, "EUR")] {
            assert_eq!(to_stripe(amount), Err(AmountError::NotPositive(amount)));
        }
        let huge = money(i64::MAX, "ISK");
        assert_eq!(to_stripe(huge), Err(AmountError::TooLarge(huge)));
        assert_eq!(to_stripe(money(10, "LYD")), Err(AmountError::UnsupportedCurrency("LYD".into())));
        // Half a krona: nothing that we could mean.
        assert!(from_stripe(550, "isk").is_err());
        assert!(from_stripe(1, "zzz").is_err());
    }

    #[test]
    fn the_smallest_charge_is_charged_and_nothing_below() {
        for (currency, minimum) in MINIMUM {
            let smallest = from_stripe(*minimum, currency.code()).unwrap();
            assert_eq!(charge_to_stripe(smallest), Ok(*minimum));
            let amount = Money::new(smallest.amount_minor - 1, *currency);
            assert_eq!(charge_to_stripe(amount), Err(AmountError::BelowMinimum { amount, minimum: smallest }));
            // A refund may be as small as it likes.
            assert!(to_stripe(amount).is_ok());
        }
    }
}
