//! A gateway on its sandbox, and what the checks ask of both.

use sandbox::{Running, Settings};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use workflows::breakers::BreakerSettings;
use workflows::gateways::{
    ChargeRequest, Gateway, GatewaySettings, IdempotencyKey, PrepareOutcome, Reference, RefundRequest, build,
};
use workflows::ids::{OrderId, RefundId};
use workflows::money::{Currency, Money};

/// Fits every protocol: some take any text, some take hexadecimal digits.
const WEBHOOK_SECRET: &str = "7c1f4a0de2b85936c04d7be1a9f2385e60d4c7b12e8fa5937d06b4e1c8f23a59";
const API_KEY: &str = "sk_test_conformance";
/// Long enough for an honest answer on a busy machine, short enough to wait for a lost one.
pub(super) const TIMEOUT_MS: u64 = 2_000;

/// What a protocol is tested with.
pub(super) struct Subject {
    pub(super) protocol: &'static str,
    sandbox: sandbox::Protocol,
    /// A payment method that is charged.
    method: &'static str,
    /// A payment method whose issuer wants to hear from the buyer.
    challenged_method: &'static str,
}

/// The protocols that are tested.
pub(super) const SUBJECTS: &[Subject] = &[
    Subject {
        protocol: "stripe",
        sandbox: sandbox::Protocol::Stripe,
        method: "pm_card_visa",
        challenged_method: "pm_card_authenticationRequired",
    },
    Subject {
        protocol: "adyen",
        sandbox: sandbox::Protocol::Adyen,
        method: "ada:stored_visa",
        challenged_method: "ada:sandbox_challenge",
    },
];

/// A gateway, its sandbox, and its names for things.
pub(super) struct Bench {
    pub(super) gateway: Arc<dyn Gateway>,
    pub(super) settings: GatewaySettings,
    method: &'static str,
    /// A payment method whose issuer wants to hear from the buyer.
    pub(super) challenged_method: &'static str,
    pub(super) sandbox: Option<Running>,
    url: String,
    client: reqwest::Client,
    books: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.books);
    }
}

impl Bench {
    pub(super) async fn start(protocol: &str) -> Self {
        Self::start_with_webhooks(protocol, None).await
    }

    pub(super) async fn start_with_webhooks(protocol: &str, webhook_url: Option<String>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let books = std::env::temp_dir().join(format!("conformance-{}-{number}.jsonl", std::process::id()));
        let _ = std::fs::remove_file(&books);
        let subject = SUBJECTS.iter().find(|subject| subject.protocol == protocol).expect("a tested protocol");
        let sandbox = Running::start(Settings {
            api_key: Some(API_KEY.into()),
            webhook_url,
            webhook_secret: WEBHOOK_SECRET.into(),
            ..Settings::speaking(subject.sandbox, books.clone())
        })
        .await
        .unwrap();
        let url = sandbox.url.clone();
        let settings = settings(protocol, &url);
        Self {
            gateway: build(&settings).unwrap(),
            settings,
            method: subject.method,
            challenged_method: subject.challenged_method,
            sandbox: Some(sandbox),
            url,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            books,
        }
    }

    /// Something new to be charged.
    pub(super) fn charge(&self) -> ChargeRequest {
        charge_by(self.method)
    }

    /// Turns a knob for the next calls of one operation.
    pub(super) async fn fault(&self, fault: &str, operation: &str) {
        let rule = json!({"fault": fault, "operation": operation});
        let answer = self.client.post(format!("{}/_sandbox/faults", self.url)).json(&rule).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Ends all faults.
    pub(super) async fn heal(&self) {
        self.client.delete(format!("{}/_sandbox/faults", self.url)).send().await.unwrap();
    }

    async fn book(&self, name: &str) -> Vec<Value> {
        let answer = self.client.get(format!("{}/_sandbox/books", self.url)).send().await.unwrap();
        let books: Value = answer.json().await.unwrap();
        books[name].as_array().unwrap().clone()
    }

    /// What the gateway's own books say was captured, of all charges.
    pub(super) async fn captured(&self) -> i64 {
        self.book("charges").await.iter().map(|charge| charge["captured"].as_i64().unwrap()).sum()
    }

    /// How many charges the gateway's own books have.
    pub(super) async fn charge_count(&self) -> usize {
        self.book("charges").await.len()
    }

    /// What each refund in the gateway's own books is about.
    pub(super) async fn refunds(&self) -> Vec<i64> {
        self.book("refunds").await.iter().map(|refund| refund["amount"].as_i64().unwrap()).collect()
    }

    /// What the gateway's own books say was given back, of all charges, when nothing is open any more.
    pub(super) async fn refunded(&self) -> i64 {
        while self.book("refunds").await.iter().any(|refund| refund["status"] == "pending") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.book("charges").await.iter().map(|charge| charge["refunded"].as_i64().unwrap()).sum()
    }

    /// The first half of a charge. Protocols without one have no reference yet.
    pub(super) async fn prepared(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> Option<Reference> {
        match self.gateway.prepare(key, charge).await {
            PrepareOutcome::Prepared(reference) => Some(reference),
            PrepareOutcome::NothingToPrepare => None,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn settings(protocol: &str, base_url: &str) -> GatewaySettings {
    GatewaySettings {
        name: "primary".into(),
        protocol: protocol.into(),
        base_url: base_url.into(),
        api_key: API_KEY.into(),
        webhook_secret: WEBHOOK_SECRET.into(),
        webhook_secret_previous: None,
        return_url: Some("https://tickets.example/back".into()),
        timeout_ms: TIMEOUT_MS,
        late_window_secs: 1,
        breaker: BreakerSettings::default(),
        merchant_account: Some("Conformance".into()),
    }
}

pub(super) fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(format!("conformance:{name}")).unwrap()
}

pub(super) fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

pub(super) fn charge_by(method: &str) -> ChargeRequest {
    ChargeRequest {
        order_id: OrderId::fresh(),
        saga_id: orchestrator::ids::SagaId::fresh(),
        amount: eur(4500),
        payment_method: method.into(),
        repeats: false,
    }
}

pub(super) fn refund_of(charge: &ChargeRequest, payment: &Reference, amount: i64) -> RefundRequest {
    RefundRequest {
        order_id: charge.order_id,
        refund_id: RefundId::fresh(),
        generation: 1,
        payment: payment.clone(),
        amount: eur(amount),
    }
}
