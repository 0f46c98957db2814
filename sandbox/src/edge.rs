//! Where time and chance come in; everything else gets them passed.

use chrono::{DateTime, SecondsFormat, Utc};
use rand::RngExt as _;
use rand::distr::Alphanumeric;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `at_ms` as RFC 3339 in UTC.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `at_ms` as ISO 8601 to the second, with an offset.
pub(crate) fn rfc3339_seconds(at_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// `at_ms` as reports write it: in UTC, to the second, without saying so.
pub(crate) fn utc_seconds(at_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `prefix` and as many random letters and digits as `length` says.
pub(crate) fn random_id(prefix: &str, length: usize) -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(length);
    prefix.chars().chain(letters.map(char::from)).collect()
}

/// True in `rate` of the cases; `rate` is between 0 and 1.
pub(crate) fn roll(rate: f64) -> bool {
    rand::rng().random_bool(rate)
}
