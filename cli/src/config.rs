//! What an installation has decided: `showrunner.toml`, with the environment over it. Every mistake
//! that can be found is reported at once, by the name of its key.

mod check;
mod masked;
mod overlay;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::IntoDeserializer};

pub(crate) use masked::{as_json, as_toml};
pub(crate) use overlay::Environment;

/// The file that is read when `--config` names no other; it need not exist.
const DEFAULT_FILE: &str = "showrunner.toml";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file that was asked for cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{} is not TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Keys that do not exist, or values that cannot be right.
    #[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
}

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// `[http]`
    pub(crate) http: Http,
    /// `[worker]`
    pub(crate) worker: Worker,
    /// `[limits]`
    pub(crate) limits: Limits,
    /// `[booking]`
    pub(crate) booking: Booking,
    /// `[mail]`
    pub(crate) mail: Mail,
    /// `[cases]`
    pub(crate) cases: Cases,
    /// `[telemetry]`
    pub(crate) telemetry: Telemetry,
    /// `[security]`
    pub(crate) security: Security,
    /// `[[gateways]]`, in order of preference.
    pub(crate) gateways: Vec<Gateway>,
    /// `DATABASE_URL`, `DATABASE_READ_URL`, `REDIS_URL`.
    #[serde(skip)]
    pub(crate) servers: Servers,
}

/// `[http]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
}

/// `[worker]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    /// How many steps run at the same time.
    pub(crate) concurrency: u32,
    /// How long a claim holds without being renewed.
    pub(crate) lease_secs: u32,
    /// How long calls in flight may take to end after SIGTERM.
    pub(crate) drain_secs: u32,
    /// Where its health and metrics are, if anywhere.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) listen: Option<SocketAddr>,
    /// Whether definitions may use the `demo.*` actions.
    pub(crate) demo_actions: bool,
    /// How long finished sagas are kept.
    pub(crate) retention_days: u32,
}

/// `[limits]`; 0 is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of a user-bound token.
    pub(crate) user_per_minute: u32,
    /// Of an address without a token.
    pub(crate) address_per_minute: u32,
    /// Of a trusted token.
    pub(crate) trusted_per_minute: u32,
}

/// `[booking]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Booking {
    /// How long seats are kept for a buyer who has not ordered yet.
    pub(crate) hold_ttl_secs: u64,
    /// How long they are kept once the order is placed.
    pub(crate) order_hold_secs: u64,
    /// Minor units; a refund above it needs a second person.
    pub(crate) refund_approval_above: i64,
    /// Sagas; a batch above it needs a second person.
    pub(crate) batch_approval_above: u32,
    /// How long a second person may take.
    pub(crate) approval_expires_secs: u64,
    /// After how many days a missing settlement line becomes a case.
    pub(crate) settlement_missing_days: u32,
}

/// `[mail]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    /// Where messages go; empty: they wait in the outbox.
    pub(crate) smtp_url: SecretString,
    /// Whom they are from.
    pub(crate) from: String,
}

/// `[cases]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cases {
    /// Who is told of each case when it opens; empty: nobody.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) webhook_url: Option<String>,
    /// What that is signed with.
    pub(crate) webhook_secret: SecretString,
    /// Who gets a mail; empty: nobody.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) mail_to: Option<String>,
    /// How long what became of a call may stay unknown before a person is asked.
    pub(crate) in_doubt_secs: u32,
    /// How long a saga may live beyond its deadline.
    pub(crate) past_deadline_secs: u32,
    /// How long a saga may try in vain, or wait for a worker.
    pub(crate) no_progress_secs: u32,
}

/// `[telemetry]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// Where traces go; empty: nowhere.
    pub(crate) otlp_endpoint: String,
}

/// `[security]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    /// How strict to be.
    pub(crate) profile: Profile,
    /// The key that encrypts personal data.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) data_key_file: Option<PathBuf>,
    /// The keys that sign tickets, and those whose codes are good as well.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) ticket_key_file: Option<PathBuf>,
    /// Where the end of the audit log's chain is kept.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) audit_head_file: Option<PathBuf>,
    /// The API's certificate.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// Its key.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) tls_key_file: Option<PathBuf>,
}

/// How strict to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// On one's own machine.
    Development,
    /// Plain connections and default secrets are refused.
    Production,
}

/// One of `[[gateways]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    /// What it is called everywhere.
    pub(crate) name: String,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// Where it is, without the version in the path.
    pub(crate) base_url: String,
    /// What it knows us by.
    pub(crate) api_key: SecretString,
    /// The file that has it instead.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// What its webhooks are signed with.
    pub(crate) webhook_secret: SecretString,
    /// The file that has it instead.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// What they were signed with before, while it is being changed.
    pub(crate) webhook_secret_previous: SecretString,
    /// The file that has it instead.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) webhook_secret_previous_file: Option<PathBuf>,
    /// Adyen's name for us.
    pub(crate) merchant_account: String,
    /// Where a buyer comes back to after a challenge.
    #[serde(deserialize_with = "none_if_empty")]
    pub(crate) return_url: Option<String>,
    /// How long one call may take.
    pub(crate) timeout_ms: u64,
    /// For how long a call that nobody waits for any more may still arrive there.
    pub(crate) late_window_secs: u64,
    /// When to stop asking.
    pub(crate) breaker: Breaker,
}

/// What a gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Stripe's PaymentIntents.
    Stripe,
    /// Adyen's Checkout.
    Adyen,
}

/// `[gateways.breaker]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Breaker {
    /// The share of failed calls that opens it.
    pub(crate) failure_rate: f64,
    /// Over how long.
    pub(crate) window_secs: u32,
    /// Of at least how many.
    pub(crate) minimum_calls: u32,
    /// How long it stays open before it tries.
    pub(crate) open_secs: u32,
}

/// The servers that everything stands on.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    /// `DATABASE_URL`
    pub(crate) database_url: Option<SecretString>,
    /// `DATABASE_READ_URL`
    pub(crate) database_read_url: Option<SecretString>,
    /// `REDIS_URL`
    pub(crate) redis_url: Option<SecretString>,
}

/// A configuration with the text that it came from, for `showrunner config`.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What the program works with.
    pub(crate) config: Config,
    /// The same, as tables.
    pub(crate) table: toml::Table,
    /// `DATABASE_URL` and its like, as far as they are set.
    pub(crate) servers: BTreeMap<&'static str, String>,
}

/// Reads the file (the default one may be absent), lays the environment over it, and checks all.
pub(crate) fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut complaints = Vec::new();
    let mut table = overlay::defaults();
    overlay::lay_file_over(&mut table, read(file)?, &mut complaints);
    overlay::lay_environment_over(&mut table, environment, &mut complaints);
    refuse(complaints)?;
    let mut config = typed(table.clone())?;
    config.servers = environment.servers();
    let mut complaints = check::read_secret_files(&mut config);
    complaints.extend(check::complaints(&config));
    refuse(complaints)?;
    Ok(Loaded { config, table, servers: environment.server_urls() })
}

fn refuse(complaints: Vec<String>) -> Result<(), ConfigError> {
    if complaints.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(complaints)) }
}

fn read(file: Option<&Path>) -> Result<toml::Table, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if file.is_none() && cause.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })
}

fn typed(table: toml::Table) -> Result<Config, ConfigError> {
    serde_path_to_error::deserialize(toml::Value::Table(table))
        .map_err(|error| ConfigError::Invalid(vec![format!("{}: {}", error.path(), error.inner().message())]))
}

/// An empty text is how a file says that there is nothing.
fn none_if_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { T::deserialize(text.into_deserializer()).map(Some) }
}

#[cfg(test)]
mod tests;
