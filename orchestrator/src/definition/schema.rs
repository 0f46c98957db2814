//! JSON Schemas: checking them, compiling them, and asking them what they declare.

use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many references are followed one after another.
const REFERENCES_MAX: usize = 16;
/// How many mistakes of one input are told.
const INPUT_MISTAKES_MAX: usize = 100;
/// How much of what was given is repeated in a message.
const MESSAGE_CHARS_MAX: usize = 300;

/// What is wrong with an input, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputMistake {
    /// The JSON pointer (RFC 6901) of the part that is wrong; empty for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SchemaError {
    /// Where in the schema, as a JSON pointer.
    pub(crate) pointer: String,
    /// What is wrong there.
    pub(crate) message: String,
}

/// Compiles a schema. Nothing is fetched: a reference to elsewhere is an error.
pub(crate) fn compile(schema: &Value) -> Result<Validator, SchemaError> {
    jsonschema::options().offline().build(schema).map_err(|error| told(&error))
}

/// Everything that is wrong with a schema.
pub(super) fn mistakes(schema: &Value) -> Vec<SchemaError> {
    let meta = match jsonschema::meta::validator_for(schema) {
        Ok(meta) => meta,
        Err(error) => return vec![told(&error)],
    };
    let wrong: Vec<_> = meta.iter_errors(schema).map(|error| told(&error)).collect();
    if !wrong.is_empty() {
        return wrong;
    }
    compile(schema).err().into_iter().collect()
}

/// Everything that is wrong with an input.
pub(crate) fn input_mistakes(validator: &Validator, input: &Value) -> Vec<InputMistake> {
    let errors = validator.iter_errors(input).take(INPUT_MISTAKES_MAX);
    errors.map(|error| told(&error)).map(|SchemaError { pointer, message }| InputMistake { pointer, message }).collect()
}

fn told(error: &jsonschema::ValidationError<'_>) -> SchemaError {
    let mut message: String = error.to_string().chars().take(MESSAGE_CHARS_MAX + 1).collect();
    if message.chars().count() > MESSAGE_CHARS_MAX {
        message.pop();
        message.push('…');
    }
    SchemaError { pointer: error.instance_path().as_str().to_owned(), message }
}

/// A place in a schema document.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    root: &'a Value,
    schema: &'a Value,
}

/// What a schema says of a member.
pub(super) enum Member<'a> {
    /// This.
    Declared(Place<'a>),
    /// That there is none.
    Undeclared,
    /// Nothing.
    Anything,
}

impl<'a> Place<'a> {
    /// The whole document.
    pub(super) fn whole(root: &'a Value) -> Self {
        Self { root, schema: root }.resolved()
    }

    fn at(self, schema: &'a Value) -> Self {
        Self { root: self.root, schema }.resolved()
    }

    /// Follows references inside the document, and the one branch of an `anyOf` that is not null.
    fn resolved(mut self) -> Self {
        for _ in 0..REFERENCES_MAX {
            if self.properties().is_some() {
                break;
            }
            let reference = self.schema.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|text| text.strip_prefix('#')).and_then(|at| self.root.pointer(at));
            let branch = || {
                let branches = self.schema.get("anyOf")?.as_array()?;
                let mut others = branches.iter().filter(|branch| branch.get("type") != Some(&json!("null")));
                others.next().filter(|_| others.next().is_none())
            };
            match target.or_else(branch) {
                Some(schema) => self.schema = schema,
                None => break,
            }
        }
        self
    }

    fn properties(self) -> Option<&'a serde_json::Map<String, Value>> {
        self.schema.get("properties").and_then(Value::as_object)
    }

    /// Whether members that are not in `properties` may exist, as far as the schema cares to say.
    fn is_open(self) -> bool {
        let says = |keyword: &str| self.schema.get(keyword).is_some_and(|value| *value != Value::Bool(false));
        const OTHERS: [&str; 9] = [
            "additionalProperties",
            "unevaluatedProperties",
            "patternProperties",
            "allOf",
            "anyOf",
            "oneOf",
            "if",
            "$ref",
            "$dynamicRef",
        ];
        OTHERS.into_iter().any(says)
    }

    /// Whether the schema says in so many words that no other members may exist.
    pub(super) fn is_closed(self) -> bool {
        self.schema.get("additionalProperties") == Some(&Value::Bool(false)) && !self.is_open()
    }

    /// What it says of the member with this name.
    pub(super) fn member(self, name: &str) -> Member<'a> {
        if let Some(member) = self.properties().and_then(|properties| properties.get(name)) {
            return Member::Declared(self.at(member));
        }
        let no_object = self.types().is_some_and(|types| !types.contains("object"));
        let declares = self.properties().is_some() || self.is_closed();
        if (no_object || declares) && !self.is_open() { Member::Undeclared } else { Member::Anything }
    }

    /// What it says of the items of a list.
    pub(super) fn item(self) -> Member<'a> {
        match self.schema.get("items") {
            Some(items) if self.schema.get("prefixItems").is_none() => Member::Declared(self.at(items)),
            _ => Member::Anything,
        }
    }

    /// The names in `properties`.
    pub(super) fn names(self) -> Vec<&'a str> {
        self.properties().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// The names in `required`.
    pub(super) fn required(self) -> Vec<&'a str> {
        let required = self.schema.get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The types that it allows, when it says so.
    pub(super) fn types(self) -> Option<BTreeSet<&'a str>> {
        match self.schema.get("type")? {
            Value::String(one) => Some(BTreeSet::from([one.as_str()])),
            Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }

    /// Whether some value can be both; true where one of them does not say.
    pub(super) fn can_be(self, other: Self) -> bool {
        let (Some(left), Some(right)) = (self.types(), other.types()) else { return true };
        let widened = |types: &BTreeSet<&'a str>| {
            let mut types = types.clone();
            if types.contains("number") {
                types.insert("integer");
            }
            types
        };
        !widened(&left).is_disjoint(&widened(&right))
    }

    /// What is wrong with a literal in this place.
    pub(super) fn refuses(self, literal: &Value) -> Option<String> {
        let mut schema = json!({ "allOf": [self.schema] });
        for keyword in ["$schema", "$defs", "definitions"] {
            if let Some(shared) = self.root.get(keyword) {
                schema[keyword] = shared.clone();
            }
        }
        let validator = compile(&schema).ok()?;
        let error = validator.iter_errors(literal).next()?;
        Some(told(&error).message)
    }
}
