//! The currencies that Adyen takes payments in, and how many decimals it counts them in. Where they
//! differ from ISO 4217, Adyen's are right: CLP and ISK have two here, CVE and IDR none.

/// The currencies with another number of decimals than two.
const EXPONENTS: &[(&str, u32)] = &[
    ("BHD", 3),
    ("IQD", 3),
    ("JOD", 3),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("TND", 3),
    ("CVE", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IDR", 0),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("PYG", 0),
    ("RWF", 0),
    ("UGX", 0),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

/// The currencies with two decimals.
const TWO_DECIMALS: &[&str] = &[
    "AED", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD", "BND", "BOB",
    "BRL", "BSD", "BWP", "BYN", "BZD", "CAD", "CHF", "CLP", "CNH", "CNY", "COP", "CRC", "CUP", "CZK", "DKK", "DOP",
    "DZD", "EGP", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG",
    "HUF", "ILS", "INR", "ISK", "JMD", "KES", "KGS", "KHR", "KYD", "KZT", "LAK", "LBP", "LKR", "MAD", "MDL", "MKD",
    "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD",
    "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SEK", "SGD", "SHP",
    "SLE", "SOS", "SRD", "STN", "SVC", "SZL", "THB", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "UYU", "UZS",
    "WST", "XCD", "YER", "ZAR", "ZMW",
];

/// How many decimals Adyen counts `currency` in; `None` when it takes none of it.
pub(super) fn exponent(currency: &str) -> Option<u32> {
    let other = EXPONENTS.iter().find(|(code, _)| *code == currency).map(|(_, exponent)| *exponent);
    other.or_else(|| TWO_DECIMALS.contains(&currency).then_some(2))
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn adyen_differs_from_the_standard_where_it_says_so() {
        for (currency, expected) in [("CLP", 2), ("ISK", 2), ("CVE", 0), ("IDR", 0), ("EUR", 2), ("JPY", 0), ("BHD", 3)]
        {
            assert_eq!(exponent(currency), Some(expected), "{currency}");
        }
        assert_eq!(exponent("XXX"), None);
        assert_eq!(exponent("eur"), None);
    }
}
