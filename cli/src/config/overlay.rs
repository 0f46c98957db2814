//! Lays one source of settings over another. The defaults know every key and its type, so that what
//! is unknown or of another type is found here, before anything is made of it.

use std::collections::BTreeMap;

use secrecy::SecretString;
use toml::{Table, Value};

use super::Servers;

const DEFAULTS: &str = include_str!("defaults.toml");
const GATEWAY: &str = include_str!("gateway.toml");
const PREFIX: &str = "SHOWRUNNER_";
const GATEWAYS: &str = "gateways";
const SERVERS: [&str; 3] = ["DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL"];

/// The environment, as far as it is our concern.
#[derive(Debug, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// That of this process.
    pub(crate) fn of_this_process() -> Self {
        Self::from_variables(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Keeps what concerns us.
    pub(crate) fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| name.starts_with(PREFIX) || SERVERS.contains(&name);
        Self(variables.into_iter().filter(|(name, _)| ours(name)).collect())
    }

    pub(super) fn server_urls(&self) -> BTreeMap<&'static str, String> {
        let set = |name| self.0.get(name).filter(|url| !url.is_empty()).cloned();
        SERVERS.into_iter().filter_map(|name| Some((name, set(name)?))).collect()
    }

    pub(super) fn servers(&self) -> Servers {
        let urls = self.server_urls();
        let url = |name| urls.get(name).map(|url| SecretString::from(url.as_str()));
        Servers {
            database_url: url("DATABASE_URL"),
            database_read_url: url("DATABASE_READ_URL"),
            redis_url: url("REDIS_URL"),
        }
    }

    /// `SHOWRUNNER_SECTION__KEY` as (the variable's name, its path in lower case, its value).
    /// `SHOWRUNNER_URL` and its like have no section and are none of the configuration's business.
    fn keys(&self) -> impl Iterator<Item = (&str, Vec<String>, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?;
            let path = path.contains("__").then(|| path.to_lowercase())?;
            Some((name.as_str(), path.split("__").map(str::to_owned).collect(), value.as_str()))
        })
    }
}

/// Everything that there is, with no gateway.
pub(super) fn defaults() -> Table {
    let mut table = parsed(DEFAULTS);
    table.insert(GATEWAYS.to_owned(), Value::Array(Vec::new()));
    table
}

fn parsed(text: &str) -> Table {
    text.parse().expect("a test reads what is compiled in")
}

/// Lays a file's tables over the defaults.
pub(super) fn lay_file_over(table: &mut Table, mut file: Table, complaints: &mut Vec<String>) {
    match file.remove(GATEWAYS) {
        None => {}
        Some(Value::Array(gateways)) => {
            let filled = gateways.into_iter().enumerate().map(|(index, gateway)| filled(index, gateway, complaints));
            table.insert(GATEWAYS.to_owned(), Value::Array(filled.collect()));
        }
        Some(_) => complaints.push("gateways must be tables: write [[gateways]]".to_owned()),
    }
    lay_over(table, file, "", complaints);
}

fn filled(index: usize, gateway: Value, complaints: &mut Vec<String>) -> Value {
    let mut whole = parsed(GATEWAY);
    let name = gateway.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
    match gateway {
        Value::Table(given) => lay_over(&mut whole, given, &format!("{GATEWAYS}.{name}."), complaints),
        _ => complaints.push("gateways must be tables: write [[gateways]]".to_owned()),
    }
    Value::Table(whole)
}

fn lay_over(table: &mut Table, over: Table, prefix: &str, complaints: &mut Vec<String>) {
    for (key, value) in over {
        let path = format!("{prefix}{key}");
        match (table.get_mut(&key), value) {
            (None, _) => complaints.push(unknown(&path, table.keys())),
            (Some(Value::Table(section)), Value::Table(given)) => {
                lay_over(section, given, &format!("{path}."), complaints);
            }
            (Some(Value::Float(number)), Value::Integer(given)) => {
                // Few settings are fractions, and those that are lie between 0 and 1.
                *number = i32::try_from(given).map_or(f64::INFINITY, f64::from);
            }
            (Some(known), given) if known.same_type(&given) => *known = given,
            (Some(known), given) => {
                complaints.push(format!("{path} must be {}, not {}", kind(known), kind(&given)));
            }
        }
    }
}

/// Lays the environment over the tables; a gateway that only the environment knows is added.
pub(super) fn lay_environment_over(table: &mut Table, environment: &Environment, complaints: &mut Vec<String>) {
    for (name, path, text) in environment.keys() {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let found = match path.as_slice() {
            [GATEWAYS, gateway, key @ ..] if !key.is_empty() => find(gateway_in(table, gateway), key),
            [GATEWAYS, ..] => None,
            key => find(table, key),
        };
        match found {
            None => complaints.push(format!("{name}: there is no key {}", path.join("."))),
            Some(value) => match parsed_like(value, text) {
                Some(parsed) => *value = parsed,
                None => complaints.push(format!("{name}: {} must be {}", path.join("."), kind(value))),
            },
        }
    }
}

/// The value at a path, if it is one that a text can give.
fn find<'a>(table: &'a mut Table, path: &[&str]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    match (table.get_mut(*first)?, rest) {
        (Value::Table(section), rest) => find(section, rest),
        (value, []) => Some(value),
        (_, _) => None,
    }
}

/// In a variable's name, a gateway's is in capitals with `_` for `-`.
fn gateway_in<'a>(table: &'a mut Table, wanted: &str) -> &'a mut Table {
    let Some(Value::Array(gateways)) = table.get_mut(GATEWAYS) else {
        unreachable!("the defaults have gateways, and nothing but a list replaces it");
    };
    let is_wanted = |gateway: &Value| {
        let name = gateway.get("name").and_then(Value::as_str).unwrap_or_default();
        name.to_lowercase().replace('-', "_") == wanted
    };
    let index = gateways.iter().position(is_wanted).unwrap_or_else(|| {
        let mut added = parsed(GATEWAY);
        added.insert("name".to_owned(), Value::String(wanted.to_owned()));
        gateways.push(Value::Table(added));
        gateways.len() - 1
    });
    gateways[index].as_table_mut().expect("every gateway was filled in from a table")
}

fn parsed_like(known: &Value, text: &str) -> Option<Value> {
    match known {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn unknown<'a>(path: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<_> = known.map(String::as_str).collect();
    format!("there is no key {path}; here are: {}", known.join(", "))
}
