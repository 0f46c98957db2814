//! What can be said of a document without asking anybody: whether this binary would run it, and how it differs from
//! another.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::Context;
use orchestrator::definition::{Definition, Mistake};
use serde_json::{Value, json};
use workflows::{
    payments::Gateways,
    registry::{self, Needs},
    settings::BookingSettings,
    tickets::TicketKeys,
};

use crate::output;

/// Says every mistake in a file, or that there is none.
pub(super) fn validate(file: &Path, json: bool) -> anyhow::Result<()> {
    let mistakes = read(file)?.err().unwrap_or_default();
    if json {
        output::json(&json!({ "mistakes": mistakes }));
    } else {
        tell(file, &mistakes);
    }
    anyhow::ensure!(mistakes.is_empty(), "{} is not valid: mistakes: {}", file.display(), mistakes.len());
    if !json {
        output::line(&format!("{} is valid", file.display()));
    }
    Ok(())
}

/// A valid document's name and what it says, in the form in which it is stored.
pub(super) fn document(file: &Path) -> anyhow::Result<(String, Value)> {
    match read(file)? {
        Ok(definition) => Ok((definition.saga.clone(), serde_json::to_value(definition)?)),
        Err(mistakes) => {
            tell(file, &mistakes);
            anyhow::bail!("{} is not valid: mistakes: {}", file.display(), mistakes.len())
        }
    }
}

fn tell(file: &Path, mistakes: &[Mistake]) {
    for mistake in mistakes {
        output::remark(&format!("{}:{}: {}", file.display(), mistake.line, mistake.message));
    }
}

/// Reads a file against the actions that this binary has, those for tutorials included.
fn read(file: &Path) -> anyhow::Result<Result<Definition, Vec<Mistake>>> {
    let yaml = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let registry = registry::registry(&Needs {
        gateways: Arc::new(Gateways::default()),
        ticket_keys: TicketKeys::development(),
        settings: BookingSettings::default(),
        demo_actions: true,
    })?;
    Ok(Definition::read(&yaml, &registry))
}

/// What differs, a line each: what only the first says with `-`, what only the second says with `+`.
pub(super) fn differences(first: &Value, second: &Value) -> Vec<String> {
    let (mut one, mut other) = (BTreeMap::new(), BTreeMap::new());
    flatten("", first, &mut one);
    flatten("", second, &mut other);
    let mut paths: Vec<_> = one.keys().chain(other.keys()).collect();
    paths.sort();
    paths.dedup();
    let mut lines = Vec::new();
    for path in paths {
        if one.get(path) == other.get(path) {
            continue;
        }
        for (sign, side) in [('-', &one), ('+', &other)] {
            lines.extend(side.get(path).map(|value| format!("{sign} {path}: {value}")));
        }
    }
    lines
}

/// Every leaf by its path. Steps go by their names, so that a new one does not move the others; their order is a
/// leaf of its own.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| flatten(&below(key), member, into)),
        Value::Array(items) => {
            let name = |(index, item): (usize, &Value)| {
                item.get("step").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned)
            };
            let names: Vec<_> = items.iter().enumerate().map(name).collect();
            if items.iter().any(|item| item.get("step").is_some()) {
                into.insert(path.to_owned(), names.join(", "));
            }
            names.iter().zip(items).for_each(|(name, item)| flatten(&below(name), item, into));
        }
        leaf => drop(into.insert(path.to_owned(), leaf.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_by_its_path() {
        let first = json!({ "deadline": 1, "steps": [{ "step": "pay", "timeout": 5 }] });
        let second = json!({ "steps": [{ "step": "hold" }, { "step": "pay", "timeout": 6 }] });
        assert_eq!(
            differences(&first, &second),
            [
                "- deadline: 1",
                "- steps: pay",
                "+ steps: hold, pay",
                "+ steps.hold.step: \"hold\"",
                "- steps.pay.timeout: 5",
                "+ steps.pay.timeout: 6",
            ]
        );
        assert_eq!(differences(&first, &first), Vec::<String>::new());
    }
}
