//! Paths (RFC 9535) into `{input, steps}`.

use super::units;
use serde_json::Value;
use serde_json_path::JsonPath;

/// One step of a path, as far as it can be told without a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Name(String),
    Index,
}

/// The path that a value is, if it is one: a text that begins with `$.` or `$[`.
pub(super) fn as_path(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.starts_with("$.") || text.starts_with("$["))
}

/// Whether there is a path in it, at any depth.
pub(super) fn contains_path(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(contains_path),
        Value::Object(members) => members.values().any(contains_path),
        scalar => as_path(scalar).is_some(),
    }
}

/// Parses a path; the mistake is in words.
pub(super) fn parse(path: &str) -> Result<JsonPath, String> {
    JsonPath::parse(path).map_err(|error| {
        let hint = match kebab_name(path) {
            Some(name) => format!("; a name with a dash is written `['{name}']`"),
            None => String::new(),
        };
        format!("`{}` is not a path: {error}{hint}", units::short(path))
    })
}

/// The first shorthand name with a dash in it, which RFC 9535 does not allow.
fn kebab_name(path: &str) -> Option<&str> {
    path.split('.')
        .skip(1)
        .find(|name| name.contains('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'))
}

/// The names and indexes that a valid path begins with, and whether they are all of it.
pub(super) fn leading(path: &str) -> (Vec<Segment>, bool) {
    let mut rest = path.strip_prefix('$').unwrap_or(path).trim_start();
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let Some((segment, after)) = shorthand(rest).or_else(|| bracketed(rest)) else { return (segments, false) };
        segments.push(segment);
        rest = after.trim_start();
    }
    (segments, true)
}

fn shorthand(text: &str) -> Option<(Segment, &str)> {
    let name = text.strip_prefix('.')?;
    let end = name.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (end > 0).then(|| (Segment::Name(name[..end].to_owned()), &name[end..]))
}

fn bracketed(text: &str) -> Option<(Segment, &str)> {
    let inside = text.strip_prefix('[')?.trim_start();
    let (segment, after) = match inside.chars().next()? {
        quote @ ('\'' | '"') => {
            let (name, after) = inside[1..].split_once(quote)?;
            // An escape may hide the quote that ends the name.
            if name.contains('\\') {
                return None;
            }
            (Segment::Name(name.to_owned()), after)
        }
        '0'..='9' | '-' => (Segment::Index, inside.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-')),
        _ => return None,
    };
    after.trim_start().strip_prefix(']').map(|after| (segment, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_names_are_read_until_something_else_comes() {
        let names = |path: &str| {
            let (segments, whole) = leading(path);
            let names = segments.into_iter().map(|segment| match segment {
                Segment::Name(name) => name,
                Segment::Index => "#".to_owned(),
            });
            (names.collect::<Vec<_>>().join("/"), whole)
        };
        for (path, expected, whole) in [
            ("$.input.orderId", "input/orderId", true),
            ("$.steps['hold-seats'].a[0]", "steps/hold-seats/a/#", true),
            ("$[ \"input\" ].x", "input/x", true),
            ("$.input.items[*].id", "input/items", false),
            ("$.input..id", "input", false),
            ("$.input[1:2]", "input", false),
            ("$.input['a','b']", "input", false),
            ("$.input['a\\'b']", "input", false),
            ("$.input.*", "input", false),
        ] {
            assert_eq!(names(path), (expected.to_owned(), whole), "{path}");
            assert!(parse(path).is_ok(), "{path}");
        }
    }
}
