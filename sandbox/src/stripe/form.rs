//! Form-encoded parameters with nested names, `metadata[order_id]=…` and `expand[]=…`, read
//! strictly: what Stripe's own clients never send is an error, not a guess.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;

/// How deep names may nest.
const DEPTH_MAX: usize = 8;
/// How many parameters a request may have.
const PAIRS_MAX: usize = 1_000;

/// The parameters of one level, by name.
pub(crate) type Fields = BTreeMap<String, Field>;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Field {
    /// `name=value`
    Text(String),
    /// `name[]=value`, any number of times
    List(Vec<String>),
    /// `name[member]=value`
    Map(Fields),
}

/// Why a form cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    /// A broken percent sign, or bytes that are not UTF-8.
    #[error("Invalid request: the parameters are not valid form encoding")]
    Encoding,
    /// Brackets that do not close, or an empty pair that is not the end.
    #[error("Invalid request: the parameter name {0} is malformed")]
    Name(String),
    /// The same name twice, or as a value and as a map.
    #[error("Invalid request: the parameter {0} is given more than once")]
    Repeated(String),
    /// More than anybody needs.
    #[error("Invalid request: too many parameters, or nested too deeply")]
    TooMuch,
}

/// Adds the pairs of `text` to `fields`.
pub(crate) fn parse_into(fields: &mut Fields, text: &str) -> Result<(), FormError> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    for (count, pair) in pairs.enumerate() {
        if count >= PAIRS_MAX {
            return Err(FormError::TooMuch);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let path = split_name(&name)?;
        insert(fields, &path, decode(value)?).ok_or(FormError::Repeated(name))?;
    }
    Ok(())
}

/// Undoes percent encoding, with `+` for a space.
fn decode(text: &str) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2).ok_or(FormError::Encoding)?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).map_err(|_| FormError::Encoding)?;
                bytes.push(byte[0]);
                rest = tail;
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| FormError::Encoding)
}

/// `a[b][]` becomes `a`, `b` and an empty name.
fn split_name(name: &str) -> Result<Vec<&str>, FormError> {
    let malformed = || FormError::Name(name.to_owned());
    let (first, mut rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    if first.is_empty() || first.contains(']') {
        return Err(malformed());
    }
    let mut path = vec![first];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(malformed)?;
        let (member, tail) = inner.split_once(']').ok_or_else(malformed)?;
        let is_misplaced_list = member.is_empty() && !tail.is_empty();
        if member.contains('[') || is_misplaced_list {
            return Err(malformed());
        }
        if path.len() >= DEPTH_MAX {
            return Err(FormError::TooMuch);
        }
        path.push(member);
        rest = tail;
    }
    Ok(path)
}

/// Puts `value` where `path` says; `None` when something else is there.
fn insert(fields: &mut Fields, path: &[&str], value: String) -> Option<()> {
    let (name, rest) = path.split_first()?;
    let entry = fields.entry((*name).to_owned());
    match (rest, entry) {
        ([], Entry::Vacant(empty)) => {
            empty.insert(Field::Text(value));
            Some(())
        }
        ([], Entry::Occupied(_)) => None,
        ([""], entry) => match entry.or_insert_with(|| Field::List(Vec::new())) {
            Field::List(values) => {
                values.push(value);
                Some(())
            }
            _ => None,
        },
        (rest, entry) => match entry.or_insert_with(|| Field::Map(Fields::new())) {
            Field::Map(inner) => insert(inner, rest, value),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Fields, FormError> {
        let mut fields = Fields::new();
        parse_into(&mut fields, text).map(|()| fields)
    }

    fn encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    fn pairs(prefix: &str, field: &Field, out: &mut Vec<String>) {
        match field {
            Field::Text(text) => out.push(format!("{prefix}={}", encode(text))),
            Field::List(values) => {
                out.extend(values.iter().map(|v| format!("{prefix}[]={}", encode(v))));
            }
            Field::Map(inner) => {
                for (name, field) in inner {
                    pairs(&format!("{prefix}[{}]", encode(name)), field, out);
                }
            }
        }
    }

    fn any_field() -> impl Strategy<Value = Field> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Field::Text),
            prop::collection::vec(any::<String>(), 1..4).prop_map(Field::List),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[^\\[\\]]{1,8}", inner, 1..4).prop_map(Field::Map)
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            fields in prop::collection::btree_map("[^\\[\\]]{1,8}", any_field(), 0..5)
        ) {
            let mut out = Vec::new();
            for (name, field) in &fields {
                pairs(&encode(name), field, &mut out);
            }
            prop_assert_eq!(parse(&out.join("&")), Ok(fields));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[a-c\\[\\]%&=+0-9é]{0,40}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn nested_names_and_lists() {
        let fields = parse("amount=4500&metadata[order_id]=ord+1&payment_method_types%5B%5D=card").unwrap();
        assert_eq!(fields["amount"], Field::Text("4500".into()));
        let metadata = Fields::from([("order_id".into(), Field::Text("ord 1".into()))]);
        assert_eq!(fields["metadata"], Field::Map(metadata));
        assert_eq!(fields["payment_method_types"], Field::List(vec!["card".into()]));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in ["a=%", "a=%zz", "a=%+1", "a=%ff"] {
            assert_eq!(parse(text), Err(FormError::Encoding), "{text}");
        }
        for text in ["[a]=1", "a[b=1", "a]=1", "a[b]c=1", "a[][b]=1", "=1", "a[[b]]=1"] {
            assert!(matches!(parse(text), Err(FormError::Name(_))), "{text}");
        }
        for text in ["a=1&a=2", "a=1&a[b]=2", "a[]=1&a[b]=2", "a[b]=1&a=2", "a[b]=1&a[b]=2"] {
            assert!(matches!(parse(text), Err(FormError::Repeated(_))), "{text}");
        }
        assert_eq!(parse(&format!("a{}=1", "[b]".repeat(8))), Err(FormError::TooMuch));
        let many: Vec<_> = (0..=PAIRS_MAX).map(|n| format!("a{n}=1")).collect();
        assert_eq!(parse(&many.join("&")), Err(FormError::TooMuch));
    }
}
