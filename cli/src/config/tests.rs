//! The configuration, as somebody who makes mistakes in it meets it.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::from_variables(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// Loads a text as if it were the file.
fn loaded(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let path = scratch(name);
    fs::write(&path, text).unwrap();
    let result = load(Some(&path), &environment(variables));
    fs::remove_file(path).unwrap();
    result
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("showrunner-config-{}-{name}.toml", std::process::id()))
}

fn complaints(result: Result<Loaded, ConfigError>) -> Vec<String> {
    match result {
        Err(ConfigError::Invalid(complaints)) => complaints,
        other => panic!("{other:?}"),
    }
}

const GATEWAY: &str = r#"
[[gateways]]
name = "primary"
base_url = "https://api.stripe.com"
api_key = "sk_live_secret"
webhook_secret = "whsec_secret"
"#;

#[test]
fn nothing_at_all_is_the_defaults() {
    let config = load(None, &Environment::default()).unwrap().config;
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.worker.concurrency, 256);
    assert_eq!(config.worker.listen, None);
    assert_eq!(config.booking.order_hold_secs, 900);
    assert_eq!(config.security.profile, Profile::Development);
    assert!(config.gateways.is_empty());
    assert!(config.servers.database_url.is_none());
}

#[test]
fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
    let text = format!("[worker]\nconcurrency = 8\nlease_secs = 7\n{GATEWAY}");
    let variables = [
        ("SHOWRUNNER_WORKER__CONCURRENCY", "9"),
        ("SHOWRUNNER_GATEWAYS__PRIMARY__API_KEY", "sk_live_other"),
        ("SHOWRUNNER_GATEWAYS__PRIMARY__BREAKER__FAILURE_RATE", "0.25"),
        ("DATABASE_URL", "postgres://localhost/x"),
        ("SHOWRUNNER_URL", "http://elsewhere"),
        ("UNRELATED__KEY", "x"),
    ];
    let config = loaded("over", &text, &variables).unwrap().config;
    assert_eq!((config.worker.concurrency, config.worker.lease_secs, config.worker.drain_secs), (9, 7, 20));
    assert_eq!(config.gateways[0].api_key.expose_secret(), "sk_live_other");
    assert_eq!((config.gateways[0].breaker.failure_rate, config.gateways[0].timeout_ms), (0.25, 8000));
    assert!(config.servers.database_url.is_some());
}

#[test]
fn a_gateway_can_be_made_of_the_environment_alone() {
    let variables = [
        ("SHOWRUNNER_GATEWAYS__EU_WEST__BASE_URL", "http://127.0.0.1:1"),
        ("SHOWRUNNER_GATEWAYS__EU_WEST__API_KEY", "k"),
    ];
    let config = loaded("alone", "", &variables).unwrap().config;
    assert_eq!(config.gateways[0].name, "eu_west");
}

#[test]
fn every_unknown_key_and_wrong_type_is_named_at_once() {
    let text = "[worker]\nconcurency = 1\nlease_secs = \"long\"\n[htp]\nlisten = \"x\"\n\
                [[gateways]]\nname = \"primary\"\ntimeout = 1\nbreaker = { open_sec = 1 }";
    let variables = [("SHOWRUNNER_WORKER__NOPE", "1"), ("SHOWRUNNER_WORKER__DEMO_ACTIONS", "yes")];
    let found = complaints(loaded("unknown", text, &variables)).join("\n");
    for named in [
        "worker.concurency",
        "worker.lease_secs must be a whole number, not a text",
        "no key htp",
        "gateways.primary.timeout;",
        "gateways.primary.breaker.open_sec;",
        "SHOWRUNNER_WORKER__NOPE: there is no key worker.nope",
        "SHOWRUNNER_WORKER__DEMO_ACTIONS: worker.demo_actions must be true or false",
    ] {
        assert!(found.contains(named), "{named} is not in\n{found}");
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_by_its_key() {
    for (text, key) in [
        ("[http]\nlisten = \"nowhere\"", "http.listen"),
        ("[worker]\nconcurrency = -1", "worker.concurrency"),
        ("[worker]\nconcurrency = 0", "worker.concurrency"),
        ("[security]\nprofile = \"prod\"", "security.profile"),
        ("[[gateways]]\nname = \"a b\"", "gateways.0.name"),
        ("[[gateways]]\nname = \"a\"", "gateways.a.base_url"),
        ("[cases]\nin_doubt_secs = 0", "cases.in_doubt_secs must not be 0"),
        ("[cases]\npast_deadline_secs = 0", "cases.past_deadline_secs must not be 0"),
        ("[cases]\nno_progress_secs = 0", "cases.no_progress_secs must not be 0"),
        ("[cases]\nno_progress_secs = -1", "cases.no_progress_secs"),
    ] {
        let found = complaints(loaded(&key.replace(['.', ' '], "-"), text, &[])).join("\n");
        assert!(found.contains(key), "{key} is not in {found}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let text = format!("[mail]\nsmtp_url = \"smtps://me:hunter2@mail.example\"\n{GATEWAY}");
    let variables = [
        ("DATABASE_URL", "postgres://app:hunter2@db/x?sslmode=require"),
        ("REDIS_URL", "rediss://:hunter2@a,rediss://:hunter2@b"),
    ];
    let loaded = loaded("masked", &text, &variables).unwrap();
    for shown in [as_toml(&loaded), as_json(&loaded).to_string(), format!("{:?}", loaded.config)] {
        for secret in ["hunter2", "sk_live_secret", "whsec_secret"] {
            assert!(!shown.contains(secret), "{secret} is in {shown}");
        }
    }
    assert!(as_toml(&loaded).contains("postgres://app:********@db/x?sslmode=require"));
}

#[test]
fn no_url_shows_its_password_whatever_its_key() {
    let text = "[telemetry]\notlp_endpoint = \"http://a:hunter2@h:4317\"\n\
                [[gateways]]\nname = \"one\"\nbase_url = \"https://b:hunter2@g.example\"\napi_key = \"k\"\n\
                return_url = \"https://shop.example/back?token=hunter2&from=us\"\n\
                [[gateways]]\nname = \"two\"\nbase_url = \"https://g.example\"\napi_key = \"k\"";
    let loaded = loaded("urls", text, &[]).unwrap();
    for shown in [as_toml(&loaded), as_json(&loaded).to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
        for whole in [
            "http://a:********@h:4317",
            "https://b:********@g.example",
            "token=********&from=us",
            "\"https://g.example\"",
        ] {
            assert!(shown.contains(whole), "{whole} is not in {shown}");
        }
    }
}

#[test]
fn a_secret_may_be_in_a_file_but_not_twice() {
    let path = scratch("secret-file");
    fs::write(&path, "from-a-file\n").unwrap();
    let gateway = format!(
        "[[gateways]]\nname = \"a\"\nbase_url = \"https://a.example\"\napi_key_file = \"{}\"\n",
        path.display()
    );
    let config = loaded("file", &gateway, &[]).unwrap().config;
    assert_eq!(config.gateways[0].api_key.expose_secret(), "from-a-file");
    let twice = complaints(loaded("twice", &format!("{gateway}api_key = \"x\""), &[])).join("\n");
    assert!(twice.contains("gateways.a.api_key_file are both set"), "{twice}");
    fs::remove_file(path).unwrap();
}

#[test]
fn mail_needs_a_server_and_a_sender_that_can_be() {
    let found = complaints(loaded("mail", "[mail]\nsmtp_url = \"mail.example.org\"\nfrom = \"box office\"", &[]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("mail.smtp_url") && found[1].starts_with("mail.from"), "{found:?}");
    let text = "[mail]\nsmtp_url = \"smtps://u:p@mail.example.org\"\nfrom = \"Box office <tickets@example.org>\"";
    loaded("good-mail", text, &[]).unwrap();
    let plain = format!("[security]\nprofile = \"production\"\n{}", text.replace("smtps", "smtp"));
    assert!(complaints(loaded("plain-mail", &plain, &[])).iter().any(|found| found.starts_with("mail.smtp_url")));
}

#[test]
fn who_is_told_of_cases_can_be_told() {
    let text = "[cases]\nwebhook_url = \"ftp://a\"\nmail_to = \"nobody\"";
    let found = complaints(loaded("cases", text, &[]));
    let keys = ["cases.webhook_url", "cases.webhook_secret", "cases.mail_to", "mail.smtp_url"];
    assert_eq!(found.len(), keys.len(), "{found:?}");
    assert!(keys.iter().zip(&found).all(|(key, found)| found.starts_with(key)), "{found:?}");
    let text = "[mail]\nsmtp_url = \"smtps://mail.example.org\"\n[cases]\nwebhook_url = \"http://a.example/x?token=hunter2\"\n\
                webhook_secret = \"hunter2\"\nmail_to = \"ops@example.org\"";
    assert!(!as_toml(&loaded("good-cases", text, &[]).unwrap()).contains("hunter2"));
    let plain = format!("[security]\nprofile = \"production\"\n{text}");
    let found = complaints(loaded("plain-cases", &plain, &[]));
    assert!(found.iter().any(|found| found.starts_with("cases.webhook_url")), "{found:?}");
}

#[test]
fn production_refuses_plain_connections_and_default_secrets_all_at_once() {
    let text = "[security]\nprofile = \"production\"\n[http]\nlisten = \"0.0.0.0:80\"\n\
                [worker]\ndemo_actions = true\n\
                [[gateways]]\nname = \"a\"\nbase_url = \"http://a.example\"\napi_key = \"sk_test_x\"\n\
                timeout_ms = 8001";
    let variables = [("DATABASE_URL", "postgres://db/x"), ("REDIS_URL", "rediss://a,redis://b")];
    let found = complaints(loaded("production", text, &variables)).join("\n");
    for named in [
        "http.listen",
        "DATABASE_URL",
        "REDIS_URL",
        "gateways.a.base_url",
        "gateways.a.api_key",
        "gateways.a.webhook_secret",
        "gateways.a.timeout_ms must be at most 8000 in the profile production: a payment makes up to 3 calls",
        "worker.demo_actions",
        "security.ticket_key_file",
        "security.data_key_file",
    ] {
        assert!(found.contains(named), "{named} is not in\n{found}");
    }
}

#[test]
fn production_is_content_with_what_is_safe() {
    let text =
        format!("[security]\nprofile = \"production\"\nticket_key_file = \"t\"\ndata_key_file = \"d\"\n{GATEWAY}");
    let variables = [
        ("DATABASE_URL", "postgres://app@localhost/x?host=/run/postgresql"),
        ("DATABASE_READ_URL", "postgres://db.example/x?sslmode=verify-full"),
        ("REDIS_URL", "redis+unix:///run/redis.sock"),
    ];
    loaded("safe", &text, &variables).unwrap();
}
