//! The gateways behind a shop: sandboxes with books of their own.

use super::postbox::Postbox;
use sandbox::{Protocol, Running, Settings};
use secrecy::SecretString;
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};
use workflows::{breakers::BreakerSettings, gateways::GatewaySettings};

/// How long the gateway's answers are waited for.
pub(super) const GATEWAY_TIMEOUT_MS: u32 = 1_500;
/// Fits every protocol: some take any text, some take hexadecimal digits.
pub(super) const SECRET: &str = "7c1f4a0de2b85936c04d7be1a9f2385e60d4c7b12e8fa5937d06b4e1c8f23a59";

/// A gateway's own program.
pub(super) struct Sandbox {
    pub(super) running: Running,
    books: PathBuf,
    /// Where its webhooks arrive.
    pub(super) postbox: Postbox,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.books));
    }
}

impl Sandbox {
    pub(super) async fn start(protocol: Protocol) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        drop(rustls::crypto::ring::default_provider().install_default());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let books = std::env::temp_dir().join(format!("sagas-{}-{number}.jsonl", std::process::id()));
        drop(std::fs::remove_file(&books));
        let postbox = Postbox::open().await;
        let settings = Settings {
            webhook_url: Some(postbox.url.clone()),
            webhook_secret: SECRET.to_owned(),
            ..Settings::speaking(protocol, books.clone())
        };
        Self { running: Running::start(settings).await.unwrap(), books, postbox }
    }

    pub(super) fn settings(&self, name: &str, protocol: &str) -> GatewaySettings {
        GatewaySettings {
            name: name.into(),
            protocol: protocol.into(),
            base_url: self.running.url.clone(),
            api_key: SecretString::from("sk_test"),
            webhook_secret: SecretString::from(SECRET),
            webhook_secret_previous: None,
            return_url: Some("https://shop.example.org/return".into()),
            timeout_ms: GATEWAY_TIMEOUT_MS.into(),
            late_window_secs: 1,
            breaker: BreakerSettings::default(),
            merchant_account: Some("TestMerchant".into()),
        }
    }
}
