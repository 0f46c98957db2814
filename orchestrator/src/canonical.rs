//! One text for one JSON value, whatever the order of its members: what digests are made of.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The SHA-256 of a value's canonical text, in hex.
#[must_use]
pub(crate) fn digest(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    hex::encode(Sha256::digest(text))
}

/// JSON without spaces and with sorted keys.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write(item, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn order_and_spaces_do_not_matter_and_everything_else_does() {
        let digest = super::digest;
        assert_eq!(
            digest(&json!({"a": 1, "b": [1, {}]})),
            digest(&serde_json::from_str(r#"{ "b":[1,{}], "a":1 }"#).unwrap())
        );
        assert_ne!(digest(&json!({"a": 1})), digest(&json!({"a": "1"})));
        assert_ne!(digest(&json!([[1], 2])), digest(&json!([1, [2]])));
    }
}
