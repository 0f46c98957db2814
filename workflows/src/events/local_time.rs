//! Times as people write them: with an offset, or as the clock on the venue's wall shows them.

use chrono::{DateTime, Datelike, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// Forms of a local time.
const LOCAL_FORMS: [&str; 2] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f"];

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither RFC 3339 nor a local time.
    #[error("not a time: RFC 3339 (`2026-10-25T02:30:00Z`) or local (`2026-10-25T02:30`)")]
    NotATime,
    /// The clocks were put forward over it.
    #[error("this hour does not exist in {zone} on that day")]
    Nonexistent {
        /// Where.
        zone: Tz,
    },
    /// RFC 3339 cannot say it in UTC.
    #[error("not within the years 0 to 9999 in UTC")]
    OutOfRange,
}

/// Reads a time. A local one is in `zone`; an hour that comes twice there means the first.
///
/// # Errors
/// [`TimeError`].
pub fn read_time(text: &str, zone: Tz) -> Result<DateTime<Utc>, TimeError> {
    let time = read_any(text, zone)?;
    if (0..=9999).contains(&time.year()) { Ok(time) } else { Err(TimeError::OutOfRange) }
}

fn read_any(text: &str, zone: Tz) -> Result<DateTime<Utc>, TimeError> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let local = LOCAL_FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .ok_or(TimeError::NotATime)?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) => Ok(time.to_utc()),
        LocalResult::Ambiguous(first, second) => Ok(first.to_utc().min(second.to_utc())),
        LocalResult::None => Err(TimeError::Nonexistent { zone }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America::New_York, Europe::Berlin, Europe::London, UTC};

    #[test]
    fn summer_time() {
        let table = [
            // an offset wins, whatever the zone
            ("2026-10-25T02:30:00+02:00", Berlin, Ok("2026-10-25T00:30:00Z")),
            ("2026-12-31T20:00:00Z", New_York, Ok("2026-12-31T20:00:00Z")),
            // comes twice: the first
            ("2026-10-25T02:30", Berlin, Ok("2026-10-25T00:30:00Z")),
            ("2026-10-25T02:30:15.5", Berlin, Ok("2026-10-25T00:30:15.500Z")),
            ("2026-10-25T01:30", London, Ok("2026-10-25T00:30:00Z")),
            ("2026-11-01T01:30", New_York, Ok("2026-11-01T05:30:00Z")),
            // just before and after
            ("2026-10-25T01:59", Berlin, Ok("2026-10-24T23:59:00Z")),
            ("2026-10-25T03:00", Berlin, Ok("2026-10-25T02:00:00Z")),
            // does not exist
            ("2026-03-29T02:30", Berlin, Err(TimeError::Nonexistent { zone: Berlin })),
            ("2026-03-08T02:30", New_York, Err(TimeError::Nonexistent { zone: New_York })),
            ("2026-03-29T02:30", UTC, Ok("2026-03-29T02:30:00Z")),
            // winter and summer
            ("2026-12-31T20:00", Berlin, Ok("2026-12-31T19:00:00Z")),
            ("2026-07-01T20:00:00", Berlin, Ok("2026-07-01T18:00:00Z")),
            // the last that RFC 3339 can say, and one too many
            ("9999-12-31T23:59:59Z", Berlin, Ok("9999-12-31T23:59:59Z")),
            ("9999-12-31T23:59:59-01:00", Berlin, Err(TimeError::OutOfRange)),
            ("0000-01-01T00:00", Berlin, Err(TimeError::OutOfRange)),
            // no time
            ("tomorrow", Berlin, Err(TimeError::NotATime)),
            ("2026-02-30T20:00", Berlin, Err(TimeError::NotATime)),
            ("2026-10-25 02:30", Berlin, Err(TimeError::NotATime)),
        ];
        for (text, zone, expected) in table {
            let expected = expected.map(|time| time.parse::<DateTime<Utc>>().unwrap());
            assert_eq!(read_time(text, zone), expected, "{text} in {zone}");
        }
    }
}
