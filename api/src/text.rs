//! Bounds on texts that people and programs send, and that are stored.

use crate::problem::Problem;

/// The longest idempotency key or name of a user, in characters.
const NAME_CHARS_MAX: usize = 255;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 1000;

/// Why somebody does something, in their words.
///
/// # Errors
/// 400 when it says nothing, or too much.
pub(crate) fn reason(text: &str) -> Result<&str, Problem> {
    bounded("/reason", text, REASON_CHARS_MAX)
}

/// What shows that something was done, in somebody's words.
///
/// # Errors
/// 400 when it says nothing, or too much.
pub(crate) fn evidence(text: &str) -> Result<&str, Problem> {
    bounded("/evidence", text, REASON_CHARS_MAX)
}

/// A short text that names something: a key, a user.
///
/// # Errors
/// 400 when it is empty, too long, or has characters that nobody sees.
pub(crate) fn name<'a>(pointer: &str, text: &'a str) -> Result<&'a str, Problem> {
    if text.chars().any(char::is_control) {
        return Err(Problem::invalid_value(pointer, "must not have control characters"));
    }
    bounded(pointer, text, NAME_CHARS_MAX)
}

fn bounded<'a>(pointer: &str, text: &'a str, chars_max: usize) -> Result<&'a str, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > chars_max {
        return Err(Problem::invalid_value(pointer, format!("must have 1 to {chars_max} characters")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded() {
        assert_eq!(reason(" because ").unwrap(), "because");
        reason(&"x".repeat(REASON_CHARS_MAX)).unwrap();
        reason(&"x".repeat(REASON_CHARS_MAX + 1)).unwrap_err();
        reason("  ").unwrap_err();
        name("/userId", "anna").unwrap();
        name("/userId", "an\u{7}na").unwrap_err();
        name("/userId", &"x".repeat(NAME_CHARS_MAX + 1)).unwrap_err();
    }
}
