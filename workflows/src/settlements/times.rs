//! Times as reports write them: a local time, and beside it what zone that is of.

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone as _, Utc};

/// The abbreviations that reports have for zones, with their hours ahead of UTC. Those that mean several are not here.
const ABBREVIATIONS: [(&str, i32); 19] = [
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("WEST", 1),
    ("BST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("EST", -5),
    ("EDT", -4),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("JST", 9),
    ("AEST", 10),
    ("AEDT", 11),
];

/// `2026-11-26 10:00:00` in a zone: an abbreviation, or a name of the time zone database.
pub(super) fn local(text: &str, zone: &str) -> Result<DateTime<Utc>, String> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .map_err(|_| format!("`{}` is not a time like 2026-11-26 10:00:00", shown(text)))?;
    if let Some((_, hours)) = ABBREVIATIONS.iter().find(|(name, _)| *name == zone) {
        let offset = FixedOffset::east_opt(hours * 3_600).ok_or_else(|| unknown(zone))?;
        return Ok(offset.from_local_datetime(&local).single().ok_or_else(|| unknown(zone))?.to_utc());
    }
    let zone: chrono_tz::Tz = zone.parse().map_err(|_| unknown(zone))?;
    // an hour that comes twice is the first; one that does not exist was never written
    let time = zone.from_local_datetime(&local).earliest();
    time.map(|time| time.to_utc()).ok_or_else(|| format!("{text} does not exist in {zone}"))
}

fn unknown(zone: &str) -> String {
    format!("`{}` is not a time zone that is known here", shown(zone))
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_their_zones() {
        let read = |text: &str, zone: &str| local(text, zone).map(|time| time.to_rfc3339());
        assert_eq!(read("2026-07-01 10:00:00", "UTC").unwrap(), "2026-07-01T10:00:00+00:00");
        assert_eq!(read("2026-07-01 10:00:00", "CEST").unwrap(), "2026-07-01T08:00:00+00:00");
        // an abbreviation is of one half of the year, a name of both
        assert_eq!(read("2026-07-01 10:00:00", "CET").unwrap(), "2026-07-01T09:00:00+00:00");
        assert_eq!(read("2026-07-01 10:00:00", "Europe/Amsterdam").unwrap(), "2026-07-01T08:00:00+00:00");
        assert_eq!(read("2026-10-25 02:30:00", "Europe/Amsterdam").unwrap(), "2026-10-25T00:30:00+00:00");
        assert!(read("2026-03-29 02:30:00", "Europe/Amsterdam").is_err());
        for (text, zone) in
            [("2026-07-01", "UTC"), ("2026-13-01 10:00:00", "UTC"), ("", "UTC"), ("2026-07-01 10:00:00", "IST?")]
        {
            assert!(read(text, zone).is_err(), "{text} {zone}");
        }
    }
}
