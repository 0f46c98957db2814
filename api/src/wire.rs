//! Shapes that many answers share.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use utoipa::ToSchema;
use workflows::money::Money;

/// Money in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Money, example = json!({"amount": 4500, "currency": "EUR"}))]
pub(crate) struct Amount {
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self { amount: money.amount_minor, currency: money.currency.code().to_owned() }
    }
}

/// A time in an answer: RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-12-31T19:00:00Z")]
pub(crate) struct Time(pub DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&utc(self.0))
    }
}

/// RFC 3339 in UTC.
pub(crate) fn utc(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl From<DateTime<Utc>> for Time {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

/// A time in a request: RFC 3339 with any offset.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    read(deserializer, "a time in RFC 3339, such as 2026-12-31T19:00:00Z", |text| {
        DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
    })
}

/// A day in a request.
pub(crate) fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    read(deserializer, "a day, such as 2026-12-31", |text| text.parse().ok())
}

/// What a text says, or what it should have been.
fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    wanted: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    read(&text).map(Some).ok_or_else(|| D::Error::custom(format!("must be {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        let time = |text: &str| serde_json::to_value(Time(text.parse().unwrap())).unwrap();
        assert_eq!(time("2026-12-31T20:00:00+01:00"), "2026-12-31T19:00:00Z");
        assert_eq!(time("2026-12-31T20:00:00.123456Z"), "2026-12-31T20:00:00.123456Z");
    }
}
