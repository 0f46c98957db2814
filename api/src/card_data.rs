//! Card numbers do not enter: where they might, they are looked for, and what is found is not repeated.

use serde_json::Value;
use workflows::card_number::contains_card_number;

/// Whether a key, a text or a number anywhere in it looks like a card number.
#[must_use]
pub(crate) fn in_json(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => contains_card_number(&number.to_string()),
        Value::String(text) => contains_card_number(text),
        Value::Array(items) => items.iter().any(in_json),
        Value::Object(members) => members.iter().any(|(name, value)| contains_card_number(name) || in_json(value)),
    }
}

/// Whether a text looks like or has a card number.
#[must_use]
pub(crate) fn in_text(text: &str) -> bool {
    contains_card_number(text)
}

/// A text that may be told or logged: itself, unless it has what looks like a card number.
#[must_use]
pub(crate) fn mask(text: &str) -> String {
    if contains_card_number(text) { "(not repeated: it looks like card data)".to_owned() } else { text.to_owned() }
}
