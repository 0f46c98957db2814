//! What is in force, as it may be shown to anybody: secrets masked.

use reqwest::Url;
use toml::{Table, Value};

use super::Loaded;

const MASK: &str = "********";
const SECRET_KEYS: [&str; 3] = ["api_key", "webhook_secret", "webhook_secret_previous"];

/// As TOML, with the servers' URLs as comments, since the environment alone has them.
pub(crate) fn as_toml(loaded: &Loaded) -> String {
    let mut text = String::new();
    for (name, url) in &loaded.servers {
        text.push_str(&format!("# {name}={}\n", masked_urls(url)));
    }
    text.push_str(&masked(&loaded.table).to_string());
    text
}

/// As JSON, with the servers' URLs under `environment`.
pub(crate) fn as_json(loaded: &Loaded) -> serde_json::Value {
    let mut json = serde_json::to_value(masked(&loaded.table)).unwrap_or_default();
    let servers = loaded.servers.iter().map(|(name, url)| ((*name).to_owned(), masked_urls(url).into()));
    json["environment"] = serde_json::Value::Object(servers.collect());
    json
}

fn masked(table: &Table) -> Table {
    table.iter().map(|(key, value)| (key.clone(), masked_value(key, value))).collect()
}

fn masked_value(key: &str, value: &Value) -> Value {
    match value {
        Value::Table(section) => Value::Table(masked(section)),
        Value::Array(values) => Value::Array(values.iter().map(|value| masked_value(key, value)).collect()),
        Value::String(text) if text.is_empty() => value.clone(),
        Value::String(_) if SECRET_KEYS.contains(&key) => Value::String(MASK.to_owned()),
        Value::String(url) if url.contains("://") => Value::String(masked_urls(url)),
        other => other.clone(),
    }
}

/// A URL, or several with commas, without their passwords.
fn masked_urls(urls: &str) -> String {
    urls.split(',').map(masked_url).collect::<Vec<_>>().join(",")
}

fn masked_url(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url.trim()) else {
        // What cannot be taken apart may be a secret as a whole.
        return MASK.to_owned();
    };
    let secret = |key: &str| ["pass", "password", "token"].contains(&key);
    let in_query = parsed.query_pairs().any(|(key, _)| secret(&key));
    if parsed.password().is_none() && !in_query {
        return url.to_owned();
    }
    if parsed.password().is_some() && parsed.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    if in_query {
        let pairs: Vec<_> = parsed.query_pairs().into_owned().collect();
        let shown = pairs.iter().map(|(key, value)| format!("{key}={}", if secret(key) { MASK } else { value }));
        let query = shown.collect::<Vec<_>>().join("&");
        parsed.set_query(Some(&query));
    }
    parsed.to_string()
}
