//! From text to a JSON value, without the freedoms that readers differ in.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads one JSON value: at most `depth_max` deep, no member twice, no NUL character. Numbers and surrogates that
/// cannot be represented are refused by the reader beneath.
pub(super) fn parse(bytes: &[u8], depth_max: u8) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node { depth_left: depth_max }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A value that may contain `depth_left` more levels.
#[derive(Clone, Copy)]
struct Node {
    depth_left: u8,
}

impl Node {
    fn below<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is out of range"))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        without_nul(value).map(Value::String)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(below)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let name = without_nul(&name)?;
            if members.contains_key(&name) {
                let shown: String = name.chars().take(80).collect();
                return Err(A::Error::custom(format!("the member `{shown}` is there twice")));
            }
            let value = map.next_value_seed(below)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// Postgres cannot store a NUL character in a text, and nobody means one.
fn without_nul<E: Error>(text: &str) -> Result<String, E> {
    if text.contains('\0') {
        return Err(E::custom("a NUL character is not accepted"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(text: &str) -> String {
        parse(text.as_bytes(), 32).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_json_is_read_as_it_is() {
        let text = r#" {"a": [1, -2, 3.5, true, null, "x\u00e9\ud83d\ude00"], "b": {}} "#;
        assert_eq!(parse(text.as_bytes(), 32).unwrap(), json!({"a": [1, -2, 3.5, true, null, "xé😀"], "b": {}}));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        parse(nested(32).as_bytes(), 32).unwrap();
        assert!(refused(&nested(33)).contains("nested too deeply"));
        assert!(refused(&"[".repeat(60_000)).contains("nested too deeply"));
        assert!(refused(&"{\"a\":".repeat(10_000)).contains("nested too deeply"));
    }

    #[test]
    fn what_readers_differ_in_is_refused() {
        assert!(refused(r#"{"a": 1, "b": {"c": 1, "c": 2}}"#).contains("`c` is there twice"));
        assert!(refused(r#"{"a": 1, "\u0061": 2}"#).contains("`a` is there twice"));
        assert!(refused(r#"["a\u0000b"]"#).contains("NUL"));
        assert!(refused(r#"{"a\u0000": 1}"#).contains("NUL"));
        refused(r#"["\ud800"]"#);
        refused(r#"["\udc00 x"]"#);
        refused("[1e400]");
        refused("[-1e400]");
        refused("[NaN]");
        refused("[1] []");
        refused("");
        parse(b"[\"\xff\"]", 32).unwrap_err();
    }
}
