//! Parameters with types. Every name must be known and every value right: whoever sends what is not
//! documented hears of it here and not from the real gateway.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::form::{Field, Fields};

/// How many metadata members an object may have.
const METADATA_MEMBERS_MAX: usize = 50;
/// How long a metadata name may be.
const METADATA_NAME_CHARS_MAX: usize = 40;
/// How long a metadata value may be.
const METADATA_VALUE_CHARS_MAX: usize = 500;
/// How long any other text may be.
const TEXT_CHARS_MAX: usize = 5_000;

/// The parameters of one request, or of one map in it. Each is taken out once.
pub(crate) struct Params {
    /// What stands before a name in messages: empty, or the map's name.
    within: String,
    fields: Fields,
}

impl Params {
    /// Refuses what is not in `known`.
    pub(crate) fn new(fields: Fields, known: &[&str]) -> Result<Self, ApiError> {
        Self::within(String::new(), fields, known)
    }

    fn within(within: String, fields: Fields, known: &[&str]) -> Result<Self, ApiError> {
        let params = Self { within, fields };
        let unknown: Vec<_> = params
            .fields
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| params.full_name(name))
            .collect();
        let Some(first) = unknown.first() else {
            return Ok(params);
        };
        let plural = if unknown.len() == 1 { "" } else { "s" };
        let message = format!("Received unknown parameter{plural}: {}", unknown.join(", "));
        Err(ApiError::invalid(message).code("parameter_unknown").param(first))
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let full = self.full_name(name);
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Field::Text(text)) if text.is_empty() => Err(ApiError::invalid(format!(
                "You passed an empty string for '{full}'. We assume empty values are an attempt to \
                 unset a field; however '{full}' cannot be unset. You should remove '{full}' from \
                 your request or supply a non-empty value."
            ))
            .code("parameter_invalid_empty")
            .param(full)),
            Some(Field::Text(text)) if text.chars().count() > TEXT_CHARS_MAX => {
                Err(ApiError::invalid(format!("Invalid string: {full} must be at most {TEXT_CHARS_MAX} characters"))
                    .param(full))
            }
            Some(Field::Text(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(format!("Invalid string: {full}")).param(full)),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// An integer that is at least 1: an amount, or a limit.
    pub(crate) fn positive(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let invalid =
            |message| ApiError::invalid(message).code("parameter_invalid_integer").param(self.full_name(name));
        let value: i64 = text
            .parse()
            .ok()
            .filter(|_| !text.starts_with('+'))
            .ok_or_else(|| invalid(format!("Invalid integer: {text}")))?;
        if value < 1 {
            return Err(invalid("This value must be greater than or equal to 1.".to_owned()));
        }
        Ok(Some(value))
    }

    /// An integer of at least 1 that must be there.
    pub(crate) fn required_positive(&mut self, name: &str) -> Result<i64, ApiError> {
        self.positive(name)?.ok_or_else(|| self.missing(name))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::invalid(format!("Invalid boolean: {text}")).param(self.full_name(name)))
    }

    /// One of a few words.
    pub(crate) fn choice<T: DeserializeOwned>(&mut self, name: &str, allowed: &[&str]) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        serde_json::from_value(serde_json::Value::String(text)).map(Some).map_err(|_| {
            let full = self.full_name(name);
            let allowed = allowed.join(", ");
            ApiError::invalid(format!("Invalid {full}: must be one of {allowed}")).param(full)
        })
    }

    /// `name[]=…`, or the same with indexes.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let full = self.full_name(name);
        let invalid = || ApiError::invalid("Invalid array").param(full.as_str());
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Field::List(values)) => Ok(Some(values)),
            Some(Field::Map(mut indexed)) => (0..indexed.len())
                .map(|index| match indexed.remove(&index.to_string()) {
                    Some(Field::Text(text)) => Ok(text),
                    _ => Err(invalid()),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(Field::Text(_)) => Err(invalid()),
        }
    }

    /// `name[member]=…` with known members.
    pub(crate) fn map(&mut self, name: &str, known: &[&str]) -> Result<Option<Self>, ApiError> {
        let full = self.full_name(name);
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Field::Map(fields)) => Self::within(full, fields, known).map(Some),
            Some(_) => Err(ApiError::invalid("Invalid object").param(full)),
        }
    }

    /// `metadata[…]=…`, whatever its members are called. An empty value stands for no value.
    pub(crate) fn metadata(&mut self) -> Result<BTreeMap<String, String>, ApiError> {
        let invalid = |message: String| ApiError::invalid(message).param("metadata");
        let fields = match self.fields.remove("metadata") {
            None => return Ok(BTreeMap::new()),
            Some(Field::Text(text)) if text.is_empty() => return Ok(BTreeMap::new()),
            Some(Field::Map(fields)) => fields,
            Some(_) => return Err(invalid("Invalid object".to_owned())),
        };
        if fields.len() > METADATA_MEMBERS_MAX {
            return Err(invalid(format!("Metadata can have at most {METADATA_MEMBERS_MAX} keys")));
        }
        let mut metadata = BTreeMap::new();
        for (name, field) in fields {
            let Field::Text(value) = field else {
                return Err(invalid(format!("Metadata values must be strings: {name}")));
            };
            if name.chars().count() > METADATA_NAME_CHARS_MAX {
                return Err(invalid(format!(
                    "Metadata keys can be at most {METADATA_NAME_CHARS_MAX} characters: {name}"
                )));
            }
            if value.chars().count() > METADATA_VALUE_CHARS_MAX {
                return Err(invalid(format!(
                    "Metadata values can be at most {METADATA_VALUE_CHARS_MAX} characters: {name}"
                )));
            }
            if !value.is_empty() {
                metadata.insert(name, value);
            }
        }
        Ok(metadata)
    }

    /// The error for a parameter that must be there.
    pub(crate) fn missing(&self, name: &str) -> ApiError {
        let full = self.full_name(name);
        ApiError::invalid(format!("Missing required param: {full}.")).code("parameter_missing").param(full)
    }

    fn full_name(&self, name: &str) -> String {
        if self.within.is_empty() { name.to_owned() } else { format!("{}[{name}]", self.within) }
    }
}
