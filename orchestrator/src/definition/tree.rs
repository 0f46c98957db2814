//! YAML as a tree whose every part knows its line, within limits.

use super::Mistake;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_saphyr::{
    Error, Spanned,
    budget::BudgetBreach,
    options::{DuplicateKeyPolicy, MergeKeyPolicy},
};
use std::fmt;

/// The longest document.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// The deepest nesting of a document.
pub(crate) const DEPTH_MAX: usize = 32;

/// A part of a document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a part is.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A member of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

/// Reads one document.
pub(super) fn read(yaml: &str) -> Result<Node, Mistake> {
    if yaml.len() > DOCUMENT_BYTES_MAX {
        let message = format!("the document is longer than {DOCUMENT_BYTES_MAX} bytes");
        return Err(Mistake { line: 1, message });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(yaml, options).map_err(|error| Mistake {
        line: error.location().map_or(1, |location| line_number(location.line())).max(1),
        message: unreadable(error.without_snippet()),
    })
}

fn unreadable(error: &Error) -> String {
    match error {
        Error::Budget { breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. }, .. } => {
            "anchors and aliases are not allowed".to_owned()
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => format!("nested deeper than {DEPTH_MAX}"),
        Error::MergeKeyNotAllowed { .. } => "merge keys (`<<`) are not allowed".to_owned(),
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            "a second document begins; one at a time".to_owned()
        }
        other => {
            let text = other.to_string();
            // The line is told beside it.
            let end = text.rfind(" at line ").or_else(|| text.rfind(" at byte ")).unwrap_or(text.len());
            format!("not readable as YAML: {}", &text[..end])
        }
    }
}

fn line_number(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

impl Node {
    /// What it is, in words.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// As JSON; of a key that is given twice, the first.
    pub(super) fn json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::json).collect(),
            Kind::Map(entries) => {
                Value::Object(entries.iter().rev().map(|entry| (entry.key.clone(), entry.value.json())).collect())
            }
        }
    }

    /// The line of the part that a JSON pointer points to, as far as the pointer can be followed.
    pub(super) fn line_at(&self, pointer: &str) -> usize {
        let mut line = self.line;
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::Map(entries) => {
                    entries.iter().find(|entry| entry.key == token).map(|entry| (entry.line, &entry.value))
                }
                Kind::List(items) => {
                    token.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item.line, item))
                }
                _ => None,
            };
            let Some((found, value)) = next else { break };
            (line, node) = (found, value);
        }
        line
    }

    /// Reports every key that a mapping has twice, and every text that Postgres cannot store, however deep.
    pub(super) fn check(&self, mistakes: &mut Vec<Mistake>) {
        match &self.kind {
            Kind::List(items) => items.iter().for_each(|item| item.check(mistakes)),
            Kind::Map(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    if let Some(first) = entries[..index].iter().find(|earlier| earlier.key == entry.key) {
                        let message = format!("`{}` is given twice; the first is in line {}", entry.key, first.line);
                        mistakes.push(Mistake { line: entry.line, message });
                    }
                    check_text(&entry.key, entry.line, mistakes);
                    entry.value.check(mistakes);
                }
            }
            Kind::Text(text) => check_text(text, self.line, mistakes),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }
}

fn check_text(text: &str, line: usize, mistakes: &mut Vec<Mistake>) {
    if text.contains('\0') {
        mistakes.push(Mistake { line, message: "a text contains the character U+0000".to_owned() });
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { line: line_number(spanned.defined.line()), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything that JSON can say")
    }
    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("a number that JSON cannot say"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = line_number(key.defined.line());
            entries.push(Entry { key: key.value, line, value: access.next_value()? });
        }
        Ok(Kind::Map(entries))
    }
}
