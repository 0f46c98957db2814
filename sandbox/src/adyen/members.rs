//! The members of a JSON object, read strictly: what the API's description does not have is an
//! error, not a guess.

use serde_json::{Map, Value};

use super::error::ApiError;

/// An object whose members are all known.
pub(super) struct Members {
    map: Map<String, Value>,
}

impl Members {
    /// The members of `value`, which the description calls `structure` and gives the members `known`.
    pub(super) fn read(structure: &str, value: Value, known: &[&str]) -> Result<Self, ApiError> {
        let Value::Object(map) = value else {
            return Err(ApiError::unreadable(format!("Unexpected input, expected: {structure}")));
        };
        let unknown: Vec<_> = map.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        if unknown.is_empty() {
            return Ok(Self { map });
        }
        let names = unknown.join(", ");
        Err(ApiError::unreadable(format!("Structure of {structure} contains the following unknown fields: [{names}]")))
    }

    /// What is there and not null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A text that need not be there. An empty one is not there.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(wrong_type(name, "string")),
        }
    }

    /// A text that must be there; `code` is the error when it is not.
    pub(super) fn required(&mut self, name: &str, code: &'static str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| missing(name, code))
    }

    /// A whole number that need not be there.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| wrong_type(name, "integer"))
    }

    /// Texts by name.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<(String, String)>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let Value::Object(map) = value else { return Err(wrong_type(name, "object")) };
        let pair = |(inner, value)| match value {
            Value::String(text) => Ok((inner, text)),
            _ => Err(wrong_type(&format!("{name}.{inner}"), "string")),
        };
        map.into_iter().map(pair).collect()
    }
}

/// 422: a member that must be there is not.
pub(super) fn missing(name: &str, code: &'static str) -> ApiError {
    ApiError::invalid(code, format!("Required field '{name}' is not provided."))
}

fn wrong_type(name: &str, expected: &str) -> ApiError {
    ApiError::unreadable(format!("Unexpected input for field '{name}', expected: {expected}"))
}
