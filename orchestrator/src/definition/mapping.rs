//! What a step's action gets: its literals and paths resolved against `{input, steps}`.

use super::{Step, paths, paths::Segment};
use serde_json::{Map, Value, json};
use serde_json_path::JsonPath;
use std::collections::BTreeMap;

/// An input that could not be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A path that is none; validation lets no such path pass.
    #[error("step `{step}`: {message}")]
    NotAPath {
        /// The step.
        step: String,
        /// What is wrong with the path.
        message: String,
    },
    /// A path that leads to nothing, or to several values.
    #[error("step `{step}`: `{path}` leads to {found} values, not to one")]
    NotOne {
        /// The step.
        step: String,
        /// The path.
        path: String,
        /// How many.
        found: usize,
    },
}

/// What the action of `step` gets, and its compensation and its probe as well.
///
/// # Errors
/// [`MappingError`] when a path does not lead to exactly one value.
pub fn step_input(step: &Step, saga_input: &Value, outputs: &BTreeMap<&str, &Value>) -> Result<Value, MappingError> {
    let Some(mapping) = &step.input else { return Ok(saga_input.clone()) };
    let root = Root { saga_input, outputs };
    let resolve = |(name, value): (&String, &Value)| Ok((name.clone(), resolved(&step.step, value, &root)?));
    Ok(Value::Object(mapping.iter().map(resolve).collect::<Result<Map<_, _>, _>>()?))
}

/// What paths lead into: `{input, steps}`.
struct Root<'a> {
    saga_input: &'a Value,
    outputs: &'a BTreeMap<&'a str, &'a Value>,
}

impl<'a> Root<'a> {
    /// Where names alone lead, without putting everything else together.
    fn named(&self, segments: &[Segment]) -> Option<&'a Value> {
        let (start, rest) = match segments {
            [Segment::Name(root), rest @ ..] if root == "input" => (self.saga_input, rest),
            [Segment::Name(root), Segment::Name(step), rest @ ..] if root == "steps" => {
                (*self.outputs.get(step.as_str())?, rest)
            }
            _ => return None,
        };
        rest.iter().try_fold(start, |at, segment| match segment {
            Segment::Name(name) => at.get(name),
            Segment::Index => None,
        })
    }
}

fn resolved(step: &str, value: &Value, root: &Root<'_>) -> Result<Value, MappingError> {
    match value {
        Value::Array(items) => items.iter().map(|item| resolved(step, item, root)).collect(),
        Value::Object(members) => {
            let resolve = |(name, member): (&String, &Value)| Ok((name.clone(), resolved(step, member, root)?));
            Ok(Value::Object(members.iter().map(resolve).collect::<Result<Map<_, _>, _>>()?))
        }
        scalar => match paths::as_path(scalar) {
            Some(path) => follow(step, path, root),
            None => Ok(scalar.clone()),
        },
    }
}

fn follow(step: &str, path: &str, root: &Root<'_>) -> Result<Value, MappingError> {
    if let (segments, true) = paths::leading(path)
        && let Some(found) = root.named(&segments)
    {
        return Ok(found.clone());
    }
    let parsed: JsonPath =
        paths::parse(path).map_err(|message| MappingError::NotAPath { step: step.to_owned(), message })?;
    let root = json!({ "input": root.saga_input, "steps": root.outputs });
    let nodes = parsed.query(&root);
    nodes.exactly_one().cloned().map_err(|_| MappingError::NotOne {
        step: step.to_owned(),
        path: path.to_owned(),
        found: nodes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{action::Registry, definition::Definition, demo};

    fn step(input: &str) -> Step {
        let mut registry: Registry = Registry::new();
        demo::register(&mut registry).unwrap();
        let yaml = format!(
            "saga: s\nsteps:\n  - {{ step: a, action: demo.echo, compensation: demo.undo }}\n  - {{ step: b, action: demo.echo{input} }}\n"
        );
        Definition::read(&yaml, &registry).unwrap().steps.remove(1)
    }

    fn input_of(step: &Step, saga_input: &Value) -> Result<Value, MappingError> {
        step_input(step, saga_input, &BTreeMap::from([("a", &json!({"echo": {"list": [1, 2]}}))]))
    }

    #[test]
    fn without_input_it_is_the_sagas() {
        let input = json!({"orderId": "ord_1"});
        assert_eq!(input_of(&step(""), &input), Ok(input));
    }

    #[test]
    fn literals_stay_and_paths_are_followed_at_any_depth() {
        let step = step(
            ", input: { one: 1, cost: $5, order: $.input.orderId, last: '$.steps.a.echo.list[-1]', deep: { list: [$.steps.a.echo.list, null] } }",
        );
        let got = input_of(&step, &json!({"orderId": "ord_1"})).unwrap();
        let expected = json!({"one": 1, "cost": "$5", "order": "ord_1", "last": 2, "deep": {"list": [[1, 2], null]}});
        assert_eq!(got, expected);
    }

    #[test]
    fn a_path_leads_to_exactly_one_value() {
        let found = |path: &str| match input_of(&step(&format!(", input: {{ x: '{path}' }}")), &json!({})) {
            Ok(_) => 1,
            Err(MappingError::NotOne { found, .. }) => found,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found("$.input.missing"), 0);
        assert_eq!(found("$.steps.a.echo.list[*]"), 2);
        assert_eq!(found("$.steps.a.echo.list[?@ == 2]"), 1);
    }
}
