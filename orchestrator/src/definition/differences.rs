//! What two definitions say otherwise.

use super::Definition;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that one of two definitions says and the other does not, or says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where: `deadline`, `steps.pay.retry.attempts`. Steps go by their names; `steps` alone is their order.
    pub path: String,
    /// What the first says there, if anything.
    pub before: Option<Value>,
    /// What the second says there, if anything.
    pub after: Option<Value>,
}

/// What differs, in the order of the paths. Nothing, where both have the same digest.
///
/// # Errors
/// None in practice: a definition is always JSON.
pub fn differences(first: &Definition, second: &Definition) -> Result<Vec<Difference>, serde_json::Error> {
    Ok(between(&serde_json::to_value(first)?, &serde_json::to_value(second)?))
}

fn between(first: &Value, second: &Value) -> Vec<Difference> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten("", first, &mut before);
    flatten("", second, &mut after);
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let difference = |path: String| {
        let (before, after) = (before.remove(&path), after.remove(&path));
        (before != after).then_some(Difference { path, before, after })
    };
    paths.into_iter().filter_map(difference).collect()
}

/// Every leaf by its path. A new step does not move the others.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(key, member)| flatten(&below(key), member, into));
        }
        Value::Array(items) if items.iter().any(|item| item.get("step").is_some()) => {
            let names: Vec<_> = items.iter().map(|item| item["step"].as_str().unwrap_or_default()).collect();
            into.insert(path.to_owned(), Value::from(names.clone()));
            names.iter().zip(items).for_each(|(name, item)| flatten(&below(name), item, into));
        }
        leaf => drop(into.insert(path.to_owned(), leaf.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_is_told_by_its_path() {
        let first = json!({ "deadline": 1, "steps": [{ "step": "pay", "timeout": 5 }] });
        let second = json!({ "steps": [{ "step": "hold" }, { "step": "pay", "timeout": 6, "input": {} }] });
        let told = |path: &str, before: Option<Value>, after: Option<Value>| Difference {
            path: path.to_owned(),
            before,
            after,
        };
        let wanted = [
            told("deadline", Some(json!(1)), None),
            told("steps", Some(json!(["pay"])), Some(json!(["hold", "pay"]))),
            told("steps.hold.step", None, Some(json!("hold"))),
            told("steps.pay.input", None, Some(json!({}))),
            told("steps.pay.timeout", Some(json!(5)), Some(json!(6))),
        ];
        assert_eq!(between(&first, &second), wanted);
        assert_eq!(between(&first, &first), []);
    }
}
