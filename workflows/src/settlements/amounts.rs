//! Amounts as reports write them: in whole units, with a point. Exact, or refused.

use crate::money::{Currency, Money, currency_from_code};

/// A currency by its code in a report, in small letters or capitals.
pub(super) fn currency(code: &str) -> Result<Currency, String> {
    currency_from_code(&code.to_ascii_uppercase()).map_err(|error| error.to_string())
}

/// What an amount in whole units is: `45.00`, `-0.05`, `4500`. More decimals than the currency has must be zeros.
pub(super) fn whole_units(text: &str, currency: Currency) -> Result<Money, String> {
    let wrong = || format!("`{}` is not an amount of {}", text.chars().take(40).collect::<String>(), currency.code());
    let exponent = usize::try_from(Money::zero(currency).exponent()).map_err(|_| wrong())?;
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) {
        return Err(wrong());
    }
    let (part, beyond) = part.split_at(part.len().min(exponent));
    if beyond.bytes().any(|byte| byte != b'0') {
        return Err(wrong());
    }
    // the sign first, so that the smallest number can be read as well
    let sign = if is_negative { "-" } else { "" };
    let amount = format!("{sign}{whole}{part:0<exponent$}").parse().map_err(|_| wrong())?;
    Ok(Money::new(amount, currency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, code: &str) -> Option<i64> {
        whole_units(text, currency(code).unwrap()).ok().map(|money| money.amount_minor)
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        for (text, code, amount) in [
            ("45.00", "EUR", 4500),
            ("45", "eur", 4500),
            ("45.5", "EUR", 4550),
            ("-0.05", "EUR", -5),
            ("45.0000", "EUR", 4500),
            ("4500", "JPY", 4500),
            ("4500.00", "JPY", 4500),
            ("4.501", "BHD", 4501),
            ("-0", "EUR", 0),
            ("-92233720368547758.08", "EUR", i64::MIN),
        ] {
            assert_eq!(read(text, code), Some(amount), "{text} {code}");
        }
        for (text, code) in [
            ("", "EUR"),
            ("-", "EUR"),
            (".5", "EUR"),
            ("5.", "EUR"),
            ("1,000.00", "EUR"),
            ("45,00", "EUR"),
            ("1e3", "EUR"),
            ("+1", "EUR"),
            ("--1", "EUR"),
            ("1.-5", "EUR"),
            ("0.001", "EUR"),
            ("4.5", "JPY"),
            ("٤٥", "EUR"),
            ("92233720368547758.08", "EUR"),
            ("NaN", "EUR"),
            ("=1+1", "EUR"),
        ] {
            assert_eq!(read(text, code), None, "{text} {code}");
        }
        assert!(currency("XXX").is_err() && currency("euro").is_err());
    }

    proptest! {
        #[test]
        fn what_money_writes_is_read(amount: i64, of in 0_usize..3) {
            let money = Money::new(amount, [Currency::EUR, Currency::JPY, Currency::BHD][of]);
            let text = money.to_string();
            prop_assert_eq!(whole_units(text.split(' ').next().unwrap(), money.currency), Ok(money));
        }

        #[test]
        fn anything_else_is_refused_in_words(text in "\\PC{0,60}") {
            if let Err(message) = whole_units(&text, Currency::EUR) {
                prop_assert!(message.ends_with("is not an amount of EUR"));
            }
        }
    }
}
