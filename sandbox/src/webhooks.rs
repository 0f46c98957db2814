//! Events, sent and signed as Stripe does, each a few times until it is taken.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::edge;
use crate::journal::Durable;

/// How often an event is sent at most.
const ATTEMPTS_MAX: u32 = 6;
/// How long to wait before the second attempt; each further wait is twice as long.
const BACKOFF_MS: u64 = 500;
/// How long the other side may take.
const TIMEOUT_MS: u64 = 10_000;
/// How many events are on their way at the same time.
const CONCURRENCY_MAX: usize = 32;

/// Brings events to one place.
#[derive(Clone)]
pub(crate) struct Courier {
    client: reqwest::Client,
    url: String,
    secret: String,
    places: Arc<Semaphore>,
}

impl Courier {
    /// A courier to `url`.
    pub(crate) fn new(url: String, secret: String) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(TIMEOUT_MS))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self { client, url, secret, places: Arc::new(Semaphore::new(CONCURRENCY_MAX)) })
    }

    /// Sends `body` in the background, once what it tells of is on disk.
    pub(crate) fn send(&self, durable: Durable, position: u64, body: String) {
        let courier = self.clone();
        tokio::spawn(async move {
            if durable.until(position).await {
                courier.deliver(body).await;
            }
        });
    }

    async fn deliver(&self, body: String) {
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                let backoff_ms = BACKOFF_MS << (attempt - 1);
                tokio::time::sleep(Duration::from_millis(backoff_ms)).await;
            }
            let Ok(_place) = self.places.acquire().await else {
                return;
            };
            let sent = self
                .client
                .post(&self.url)
                .header("content-type", "application/json; charset=utf-8")
                .header("stripe-signature", self.signature(&body))
                .body(body.clone())
                .send()
                .await;
            match sent {
                Ok(response) if response.status().is_success() => return,
                Ok(response) => {
                    tracing::debug!(http.status = response.status().as_u16(), "event refused");
                }
                Err(error) => tracing::debug!(error = %error, "event not delivered"),
            }
        }
        tracing::warn!(attempts = ATTEMPTS_MAX, "the sandbox gives up on an event");
    }

    fn signature(&self, body: &str) -> String {
        sign(&self.secret, edge::now_ms() / 1000, body)
    }
}

/// `t=<unix>,v1=<hex hmac-sha256 of "t.body">`
fn sign(secret: &str, at_secs: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{at_secs}.{body}").as_bytes());
    format!("t={at_secs},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn signatures_are_the_documented_hmac() {
        // echo -n '1.{}' | openssl dgst -sha256 -hmac whsec_test
        assert_eq!(super::sign("whsec_test", 1, "{}"), EXPECTED);
    }

    const EXPECTED: &str = "t=1,v1=7500d5d4be4b3ef07af1fe56f7d522d135cdaa7530de557e67cc1049c52de094";
}
