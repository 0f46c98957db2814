//! The small languages inside a definition: names, durations, backoffs, attempts.

use super::Attempts;
use std::{num::NonZeroU32, time::Duration};

/// The longest duration that a definition may name.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// The highest limit on attempts that is not `forever`.
const ATTEMPTS_MAX: u64 = 10_000;
/// The longest name of a saga or a step.
const NAME_CHARS_MAX: usize = 63;

/// Whether this may name a saga or a step: `[a-z][a-z0-9-]{0,62}`.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `100ms`, `2s`, `15m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || {
        format!("`{}` is not a duration; write a whole number and ms, s, m or h, as in `100ms` or `15m`", short(text))
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refuse()),
    };
    if number.is_empty() {
        return Err(refuse());
    }
    // Digits that do not fit are as much too long as a year and a day.
    let millis = number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit_ms);
    let duration = Duration::from_millis(millis);
    if duration.is_zero() {
        return Err(format!("`{text}` is no time at all"));
    }
    if duration > DURATION_MAX {
        return Err(format!("`{}` is longer than {}", short(text), show(DURATION_MAX)));
    }
    Ok(duration)
}

/// `100ms..5s`: the longest wait after the first failure, and the longest of all.
pub(super) fn backoff(text: &str) -> Result<(Duration, Duration), String> {
    let Some((first, max)) = text.split_once("..") else {
        return Err(format!("`{}` is not a backoff; write two durations, as in `100ms..5s`", short(text)));
    };
    let (first, max) = (duration(first)?, duration(max)?);
    if first > max {
        return Err(format!("the backoff `{text}` goes down; write the shorter wait first"));
    }
    Ok((first, max))
}

/// A limit on attempts.
pub(super) fn attempts(number: u64) -> Result<Attempts, String> {
    let limit = u32::try_from(number).ok().filter(|_| number <= ATTEMPTS_MAX).and_then(NonZeroU32::new);
    limit.map(Attempts::Limited).ok_or_else(|| format!("{number} attempts; from 1 to {ATTEMPTS_MAX}, or `forever`"))
}

/// A duration as one would write it.
pub(super) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis != 0 && millis.is_multiple_of(unit_ms) {
            return format!("{}{unit}", millis / unit_ms);
        }
    }
    format!("{millis}ms")
}

/// What was written, cut to a length that fits into a sentence.
pub(super) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The names that are close to one that is not known, closest first.
pub(super) fn close<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const NAMES_MAX: usize = 3;
    const COMPARED_CHARS_MAX: usize = 128;
    if name.len() > COMPARED_CHARS_MAX {
        return Vec::new();
    }
    let far = (name.chars().count() / 3).max(2);
    let mut near: Vec<_> = known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .collect();
    near.sort_unstable();
    near.into_iter().take(NAMES_MAX).map(|(_, candidate)| candidate).collect()
}

/// `; did you mean …?`, or nothing.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = close(name, known);
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", quoted(&near, " or ")) }
}

/// Names in backticks.
pub(super) fn quoted(names: &[&str], between: &str) -> String {
    names.iter().map(|name| format!("`{}`", short(name))).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        for (text, millis) in [("100ms", 100), ("2s", 2_000), ("15m", 900_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
        let long = "9".repeat(40) + "s";
        for text in ["", "5", "s", "5 s", "-5s", "1.5s", "1d", "0s", "8785h", "٥s", long.as_str()] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("8784h"), Ok(DURATION_MAX));
    }

    #[test]
    fn backoffs_go_up_and_attempts_are_bounded() {
        assert_eq!(backoff("1s..1s"), Ok((Duration::from_secs(1), Duration::from_secs(1))));
        for text in ["1s", "2s..1s", "..", "1s..", "1s...2s"] {
            assert!(backoff(text).is_err(), "{text}");
        }
        assert!(attempts(0).is_err());
        assert!(attempts(ATTEMPTS_MAX).is_ok());
        assert!(attempts(ATTEMPTS_MAX + 1).is_err());
    }

    #[test]
    fn names_are_kebab_and_short() {
        assert!(is_name("a") && is_name("book-tickets") && is_name(&"a".repeat(NAME_CHARS_MAX)));
        for text in ["", "A", "1a", "-a", "a_b", "a.b", "ä", &"a".repeat(NAME_CHARS_MAX + 1)] {
            assert!(!is_name(text), "{text}");
        }
    }
}
