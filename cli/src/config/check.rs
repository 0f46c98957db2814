//! Looks for what cannot be right, and, under the profile `production`, for what must not be.

use std::{collections::HashSet, fs, net::SocketAddr, path::Path};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use workflows::{
    mail::Mailer,
    payments::{CALL_TAKES_MAX, CALLS_MAX},
};

use super::{Config, Gateway, Mail, Profile, Protocol};

/// Secrets that everybody knows: what documentation, sandboxes and our own examples use.
const KNOWN_SECRET_PREFIXES: [&str; 5] = ["sk_test_", "whsec_sandbox", "whsec_test", "whsec_...", "..."];

/// The longest that a breaker counts, or stays open before it tries: a quarter of an hour.
const BREAKER_SECS_MAX: u32 = 900;

/// Reads the secrets that files have, and complains about those that cannot be read or are given twice.
pub(super) fn read_secret_files(config: &mut Config) -> Vec<String> {
    let mut complaints = Vec::new();
    for gateway in &mut config.gateways {
        let secrets = [
            ("api_key", &gateway.api_key_file, &mut gateway.api_key),
            ("webhook_secret", &gateway.webhook_secret_file, &mut gateway.webhook_secret),
            ("webhook_secret_previous", &gateway.webhook_secret_previous_file, &mut gateway.webhook_secret_previous),
        ];
        for (key, file, secret) in secrets {
            let Some(file) = file else { continue };
            let key = format!("gateways.{}.{key}", gateway.name);
            if secret.expose_secret().is_empty() {
                match read_secret(file) {
                    Ok(read) => *secret = read,
                    Err(why) => complaints.push(format!("{key}_file: {}: {why}", file.display())),
                }
            } else {
                complaints.push(format!("{key} and {key}_file are both set: keep one"));
            }
        }
    }
    complaints
}

fn read_secret(file: &Path) -> std::io::Result<SecretString> {
    Ok(SecretString::from(fs::read_to_string(file)?.trim()))
}

/// Everything that is wrong with a configuration.
pub(super) fn complaints(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    must_be_positive(config, &mut found);
    gateways(&config.gateways, &mut found);
    mail(&config.mail, &mut found);
    cases(config, &mut found);
    if config.security.tls_cert_file.is_some() != config.security.tls_key_file.is_some() {
        found.push("security.tls_cert_file and security.tls_key_file go together".to_owned());
    }
    if config.security.profile == Profile::Production {
        plain_connections(config, &mut found);
        default_secrets(config, &mut found);
        slow_gateways(config, &mut found);
    }
    found
}

fn must_be_positive(config: &Config, found: &mut Vec<String>) {
    let numbers = [
        ("worker.concurrency", u64::from(config.worker.concurrency)),
        ("worker.lease_secs", u64::from(config.worker.lease_secs)),
        ("worker.retention_days", u64::from(config.worker.retention_days)),
        ("booking.hold_ttl_secs", config.booking.hold_ttl_secs),
        ("booking.order_hold_secs", config.booking.order_hold_secs),
        ("booking.approval_expires_secs", config.booking.approval_expires_secs),
        ("cases.in_doubt_secs", u64::from(config.cases.in_doubt_secs)),
        ("cases.past_deadline_secs", u64::from(config.cases.past_deadline_secs)),
        ("cases.no_progress_secs", u64::from(config.cases.no_progress_secs)),
    ];
    found.extend(numbers.into_iter().filter(|(_, number)| *number == 0).map(|(key, _)| format!("{key} must not be 0")));
}

fn gateways(gateways: &[Gateway], found: &mut Vec<String>) {
    let mut names = HashSet::new();
    for (index, gateway) in gateways.iter().enumerate() {
        let name = &gateway.name;
        if !is_name(name) {
            found.push(format!("gateways.{index}.name is {name:?}: it must be small letters, digits, - and single _"));
            continue;
        }
        if !names.insert(name.replace('-', "_")) {
            found.push(format!("gateways.{name}: two gateways have this name"));
        }
        if !matches!(Url::parse(&gateway.base_url), Ok(url) if matches!(url.scheme(), "http" | "https")) {
            found.push(format!("gateways.{name}.base_url must be an http or https URL"));
        }
        if gateway.protocol == Protocol::Adyen && gateway.merchant_account.is_empty() {
            found.push(format!("gateways.{name}.merchant_account must be set: its protocol is adyen"));
        }
        if gateway.timeout_ms == 0 {
            found.push(format!("gateways.{name}.timeout_ms must not be 0"));
        }
        let rate = gateway.breaker.failure_rate;
        if !(rate > 0.0 && rate <= 1.0) {
            found.push(format!("gateways.{name}.breaker.failure_rate must be above 0 and at most 1"));
        }
        let breaker = &gateway.breaker;
        for (key, secs) in [("window_secs", breaker.window_secs), ("open_secs", breaker.open_secs)] {
            if !(1..=BREAKER_SECS_MAX).contains(&secs) {
                found.push(format!("gateways.{name}.breaker.{key} must be between 1 and {BREAKER_SECS_MAX}"));
            }
        }
        if breaker.minimum_calls == 0 {
            found.push(format!("gateways.{name}.breaker.minimum_calls must not be 0"));
        }
    }
}

fn mail(mail: &Mail, found: &mut Vec<String>) {
    let url = mail.smtp_url.expose_secret();
    let is_server = |url: Url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host();
    if !url.is_empty() && !Url::parse(url).is_ok_and(is_server) {
        found.push("mail.smtp_url must be an smtp or smtps URL, or empty".to_owned());
    }
    if !Mailer::is_sender(&mail.from) {
        found.push(format!("mail.from is {:?}: it must be one address, as in tickets@example.org", mail.from));
    }
}

fn cases(config: &Config, found: &mut Vec<String>) {
    let cases = &config.cases;
    if let Some(url) = &cases.webhook_url {
        if !matches!(Url::parse(url), Ok(url) if matches!(url.scheme(), "http" | "https")) {
            found.push("cases.webhook_url must be an http or https URL, or empty".to_owned());
        }
        if cases.webhook_secret.expose_secret().is_empty() {
            found.push("cases.webhook_secret must be set where cases.webhook_url is".to_owned());
        }
    }
    if let Some(to) = &cases.mail_to {
        if !Mailer::is_sender(to) {
            found.push(format!("cases.mail_to is {to:?}: it must be one address, or empty"));
        }
        if config.mail.smtp_url.expose_secret().is_empty() {
            found.push("mail.smtp_url must be set where cases.mail_to is".to_owned());
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.chars().all(allowed) && !name.contains("__")
}

fn plain_connections(config: &Config, found: &mut Vec<String>) {
    let mut refuse = |what: &str, how: &str| {
        found.push(format!("{what} is a plain connection, which the profile production refuses: {how}"));
    };
    if config.security.tls_cert_file.is_none() && !config.http.listen.ip().is_loopback() {
        refuse("http.listen", "set security.tls_cert_file, or listen on loopback behind a proxy");
    }
    let servers = &config.servers;
    for (name, url) in [("DATABASE_URL", &servers.database_url), ("DATABASE_READ_URL", &servers.database_read_url)] {
        if url.as_ref().is_some_and(|url| postgres_is_plain(url.expose_secret())) {
            refuse(name, "add sslmode=verify-full");
        }
    }
    let redis = servers.redis_url.as_ref().map_or("", |url| url.expose_secret());
    if redis.split(',').filter(|url| !url.is_empty()).any(|url| is_plain(url.trim(), &["rediss", "valkeys"])) {
        refuse("REDIS_URL", "use rediss://");
    }
    for gateway in &config.gateways {
        if !gateway.base_url.starts_with("https://") {
            refuse(&format!("gateways.{}.base_url", gateway.name), "use https://");
        }
    }
    let smtp = config.mail.smtp_url.expose_secret();
    if !smtp.is_empty() && !smtp.contains("tls=required") && is_plain(smtp, &["smtps"]) {
        refuse("mail.smtp_url", "use smtps://, or add tls=required");
    }
    if config.cases.webhook_url.as_ref().is_some_and(|url| is_plain(url, &["https"])) {
        refuse("cases.webhook_url", "use https://");
    }
    let otlp = &config.telemetry.otlp_endpoint;
    if !otlp.is_empty() && is_plain(otlp, &["https"]) {
        refuse("telemetry.otlp_endpoint", "use https://");
    }
}

/// Whether what goes over a connection can be read on its way; what stays on this machine cannot.
fn is_plain(url: &str, safe_schemes: &[&str]) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    !safe_schemes.contains(&url.scheme()) && !url.scheme().ends_with("unix") && !is_local(&url)
}

fn postgres_is_plain(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let encrypted = parameter("sslmode").is_some_and(|mode| ["require", "verify-ca", "verify-full"].contains(&&*mode));
    let local = parameter("host").map_or_else(|| is_local(&url), |host| host.starts_with('/'));
    !encrypted && !local
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || format!("{host}:0").parse::<SocketAddr>().is_ok_and(|found| found.ip().is_loopback())
        || host == "::1"
}

fn default_secrets(config: &Config, found: &mut Vec<String>) {
    if config.servers.database_url.is_none() {
        found.push("DATABASE_URL must be set in the profile production".to_owned());
    }
    if config.worker.demo_actions {
        found.push("worker.demo_actions must be false in the profile production".to_owned());
    }
    let keys =
        [("data_key_file", &config.security.data_key_file), ("ticket_key_file", &config.security.ticket_key_file)];
    for (key, file) in keys {
        if file.is_none() {
            found.push(format!("security.{key} must be set in the profile production"));
        }
    }
    for gateway in &config.gateways {
        for (key, secret) in [("api_key", &gateway.api_key), ("webhook_secret", &gateway.webhook_secret)] {
            let secret = secret.expose_secret();
            if secret.is_empty() || KNOWN_SECRET_PREFIXES.iter().any(|known| secret.starts_with(known)) {
                found.push(format!(
                    "gateways.{}.{key} is missing or one for testing, which the profile production refuses",
                    gateway.name
                ));
            }
        }
    }
}

/// A step that pays must have the time for all its calls: one that runs out of it cannot go to the next gateway.
fn slow_gateways(config: &Config, found: &mut Vec<String>) {
    let most = CALL_TAKES_MAX.as_millis();
    for gateway in config.gateways.iter().filter(|gateway| u128::from(gateway.timeout_ms) > most) {
        found.push(format!(
            "gateways.{}.timeout_ms must be at most {most} in the profile production: a payment makes up to {CALLS_MAX} \
             calls one after another, and its step waits no longer than for that many",
            gateway.name
        ));
    }
}
