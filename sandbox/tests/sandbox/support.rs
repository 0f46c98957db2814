//! A running gateway and a client for it.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use sandbox::{Running, Settings};
use serde_json::{Value, json};

/// A folder that goes away with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandbox-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn books(&self) -> PathBuf {
        self.0.join("books.jsonl")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The error of a failure with this status.
    #[track_caller]
    pub(crate) fn error(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()["error"].clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(crate) struct Gateway {
    pub(crate) running: Running,
    settings: Settings,
    pub(crate) client: reqwest::Client,
    pub(crate) folder: Folder,
}

pub(crate) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .build()
        .unwrap()
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let client = client();
        let folder = Folder::new();
        let mut settings = Settings::new(folder.books());
        change(&mut settings);
        let running = Running::start(settings.clone()).await.unwrap();
        Self { running, settings, client, folder }
    }

    /// Stops it and starts it again on the same books.
    pub(crate) async fn restart(self) -> Self {
        self.running.stop().await.unwrap();
        let running = Running::start(self.settings.clone()).await.unwrap();
        Self { running, ..self }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.url)
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        key: Option<&str>,
    ) -> reqwest::Result<Reply> {
        let mut request = self.client.post(self.url(path)).form(form);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        Ok(Reply::read(request.send().await?).await)
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        self.try_post(path, form, None).await.unwrap()
    }

    pub(crate) async fn post_with_key(&self, path: &str, form: &[(&str, &str)], key: &str) -> Reply {
        self.try_post(path, form, Some(key)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        Reply::read(response).await
    }

    /// An unconfirmed payment intent over 4500 EUR cents.
    pub(crate) async fn intent(&self, method: &str) -> String {
        let created = self.post("/v1/payment_intents", &new_intent(method)).await;
        created.ok()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn confirm(&self, id: &str) -> Reply {
        self.post(&format!("/v1/payment_intents/{id}/confirm"), &[]).await
    }

    pub(crate) async fn cancel(&self, id: &str) -> Reply {
        self.post(&format!("/v1/payment_intents/{id}/cancel"), &[]).await
    }

    /// A payment intent whose money is taken.
    pub(crate) async fn paid(&self) -> String {
        let id = self.intent("pm_card_visa").await;
        self.confirm(&id).await.ok();
        id
    }

    pub(crate) async fn fault(&self, rule: Value) -> Reply {
        let request = self.client.post(self.url("/_sandbox/faults")).json(&rule);
        Reply::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn end_faults(&self) {
        let request = self.client.delete(self.url("/_sandbox/faults"));
        assert_eq!(request.send().await.unwrap().status(), 204);
    }

    pub(crate) async fn books(&self) -> Value {
        self.get("/_sandbox/books").await.ok()
    }

    /// Asks for the books until they are as `is_right` wants them.
    pub(crate) async fn books_when(&self, is_right: impl Fn(&Value) -> bool) -> Value {
        let right = async {
            loop {
                let books = self.books().await;
                if is_right(&books) {
                    return books;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), right).await.unwrap()
    }

    /// The settlement file, with the mistakes that `query` asks for.
    pub(crate) async fn settlement(&self, query: &str) -> String {
        let reply = self.get(&format!("/_sandbox/settlement.csv{query}")).await;
        assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
        reply.text
    }

    /// The books' only charge.
    pub(crate) async fn charge_entry(&self) -> Value {
        let books = self.books().await;
        let charges = books["charges"].as_array().unwrap();
        assert_eq!(charges.len(), 1, "{books:#}");
        charges[0].clone()
    }
}

pub(crate) fn new_intent(method: &str) -> [(&str, &str); 6] {
    [
        ("amount", "4500"),
        ("currency", "eur"),
        ("payment_method_types[]", "card"),
        ("payment_method", method),
        ("metadata[order_id]", "ord_1"),
        ("metadata[saga_id]", "saga_1"),
    ]
}

/// The members of `value` that `expected` has.
#[track_caller]
pub(crate) fn assert_has(value: &Value, expected: Value) {
    for (member, expected) in expected.as_object().unwrap() {
        assert_eq!(&value[member], expected, "{member} of {value:#}");
    }
}

pub(crate) fn metadata() -> Value {
    json!({"order_id": "ord_1", "saga_id": "saga_1"})
}
