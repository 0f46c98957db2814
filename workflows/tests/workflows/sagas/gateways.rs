//! The gateways behind a shop: sandboxes with books of their own.

use super::{postbox::Postbox, shop::Shop};
use sandbox::{Protocol, Running, Settings};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};
use workflows::{breakers::BreakerSettings, gateways::GatewaySettings, ids::OrderId};

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

impl Shop {
    /// Where the primary's webhooks arrive.
    pub(super) fn postbox(&self) -> &Postbox {
        &self.sandboxes[0].postbox
    }

    /// Turns one of the gateway's own knobs.
    pub(super) async fn gateway_fault(&self, rule: Value) {
        self.fault_at(0, rule).await;
    }

    /// The same of the gateway in this place.
    pub(super) async fn fault_at(&self, gateway: usize, rule: Value) {
        let url = format!("{}/_sandbox/faults", self.sandboxes[gateway].running.url);
        let answer = self.client.post(url).json(&rule).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(super) async fn heal_gateway(&self) {
        for sandbox in &self.sandboxes {
            self.client.delete(format!("{}/_sandbox/faults", sandbox.running.url)).send().await.unwrap();
        }
    }

    /// What the primary's own books say of refunds.
    pub(super) async fn refunds_at_primary(&self) -> Vec<Value> {
        let url = format!("{}/_sandbox/books", self.sandboxes[0].running.url);
        let books: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        books["refunds"].as_array().unwrap().clone()
    }

    /// A payment at the primary that we know nothing of.
    pub(super) async fn pay_at_adyen(&self, payment: &Value) {
        let url = format!("{}/v71/payments", self.sandboxes[0].running.url);
        let request = self.client.post(url).header("x-api-key", "sk_test").header("idempotency-key", "not-ours");
        let answer = request.json(payment).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What the gateways' own books say of an order's charges.
    pub(super) async fn charges(&self, order: OrderId) -> Vec<Value> {
        let mut charges = Vec::new();
        for gateway in 0..self.sandboxes.len() {
            charges.extend(self.charges_at(gateway, order).await);
        }
        charges
    }

    /// The same of the gateway in this place.
    pub(super) async fn charges_at(&self, gateway: usize, order: OrderId) -> Vec<Value> {
        let url = format!("{}/_sandbox/books", self.sandboxes[gateway].running.url);
        let books: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        let named = |charge: &Value, member: &str| charge["metadata"][member] == json!(order);
        let of_order = |charge: &&Value| named(charge, "order_id") || named(charge, "orderId");
        books["charges"].as_array().unwrap().iter().filter(of_order).cloned().collect()
    }

    /// What the gateway has of an order, by its own books.
    pub(super) async fn kept(&self, order: OrderId) -> i64 {
        let kept = |charge: &Value| charge["captured"].as_i64().unwrap() - charge["refunded"].as_i64().unwrap();
        self.charges(order).await.iter().map(kept).sum()
    }
}
