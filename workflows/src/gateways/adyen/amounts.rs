//! What Adyen's amounts mean: its own number of decimal places where it differs from ISO 4217.
//! <https://docs.adyen.com/development-resources/currency-codes>
//!
//! Adyen documents no smallest charge; card schemes and contracts have theirs.

use crate::gateways::minor_units::{from_protocol, to_protocol};
use crate::gateways::requests::AmountError;
use crate::money::{Currency, Money, MoneyError};

/// Marked «differs from standard» on that page, which says that its table is leading.
const DIFFERENT: &[(Currency, u32)] = &[(Currency::CLP, 2), (Currency::CVE, 0), (Currency::IDR, 0), (Currency::ISK, 2)];
/// No currency on that page has more.
const EXPONENT_MAX: u32 = 3;

/// How many decimal places Adyen charges a currency with; none where it does not charge in it.
fn exponent(currency: Currency) -> Option<u32> {
    match DIFFERENT.iter().find(|(different, _)| *different == currency) {
        Some((_, exponent)) => Some(*exponent),
        None => currency.exponent().map(u32::from).filter(|exponent| *exponent <= EXPONENT_MAX),
    }
}

/// The number that Adyen is sent.
///
/// # Errors
/// Adyen cannot move this amount.
pub(super) fn to_adyen(amount: Money) -> Result<i64, AmountError> {
    to_protocol(amount, exponent)
}

/// What a number and a currency of Adyen's mean.
///
/// # Errors
/// A currency that Adyen does not charge in, or a number that does not fit.
pub(super) fn from_adyen(number: i64, currency: &str) -> Result<Money, MoneyError> {
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
    fn exponents_are_adyens_where_they_differ() {
        for (amount, number) in [
            (money(4500, "EUR"), 4500),
            (money(4500, "JPY"), 4500),
            (money(4501, "BHD"), 4501),
            (money(5, "CLP"), 500),
            (money(5, "ISK"), 500),
            (money(500, "CVE"), 5),
            (money(50_000, "IDR"), 500),
            (money(7, "UGX"), 7),
        ] {
            assert_eq!(to_adyen(amount), Ok(number), "{amount}");
            assert_eq!(from_adyen(number, amount.currency.code()), Ok(amount), "{amount}");
        }
    }

    #[test]
    fn what_adyen_cannot_write_is_refused() {
        for amount in [money(501, "CVE"), money(501, "IDR")] {
            assert_eq!(to_adyen(amount), Err(AmountError::TooPrecise(amount)));
        }
        for amount in [money(0, "EUR"), money(-1, "EUR")] {
            assert_eq!(to_adyen(amount), Err(AmountError::NotPositive(amount)));
        }
        let huge = money(i64::MAX, "CLP");
        assert_eq!(to_adyen(huge), Err(AmountError::TooLarge(huge)));
        assert_eq!(to_adyen(money(10, "CLF")), Err(AmountError::UnsupportedCurrency("CLF".into())));
        assert!(from_adyen(550, "ISK").is_err());
        assert!(from_adyen(1, "ZZZ").is_err());
    }
}
