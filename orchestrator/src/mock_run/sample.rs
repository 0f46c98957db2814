//! Something of the form that a JSON Schema describes, for outputs that nobody has given: its required members, each as
//! small as it may be.

use serde_json::{Map, Value, json};

/// How deep it goes.
const DEPTH_MAX: usize = 16;

/// Something that the schema lets pass, as far as its types alone say.
pub(super) fn of(schema: &Value) -> Value {
    sample(schema, schema, 0)
}

fn sample(root: &Value, schema: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let below = |schema: &Value| sample(root, schema, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).map_or(Value::Null, below);
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|of| schema[*of].get(0)) {
        return below(first);
    }
    let named = schema["type"].as_str().or_else(|| schema["type"].get(0).and_then(Value::as_str));
    match named {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let member = |name: &str| (name.to_owned(), below(&schema["properties"][name]));
            Value::Object(required.map(member).collect::<Map<_, _>>())
        }
        Some("array") => json!([]),
        Some("string") => match schema["format"].as_str() {
            Some("date-time") => json!("2000-01-01T00:00:00Z"),
            _ => json!("mocked"),
        },
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_is_required() {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "$ref": "#/$defs/A" }, "b": { "type": "integer", "minimum": 3 }, "c": { "type": "string" } },
            "required": ["a", "b"],
            "$defs": { "A": { "type": "object", "properties": { "on": { "type": ["boolean", "null"] } }, "required": ["on"] } }
        });
        assert_eq!(of(&schema), json!({ "a": { "on": false }, "b": 3 }));
        assert_eq!(of(&json!({ "$ref": "#" })), Value::Null, "what has no end ends");
        assert_eq!(of(&json!({ "anyOf": [{ "enum": ["x", "y"] }] })), json!("x"));
        assert_eq!(of(&json!(true)), Value::Null);
    }
}
