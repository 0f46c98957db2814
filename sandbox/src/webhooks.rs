//! Webhooks: each is sent until it is taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::edge;
use crate::store::Message;

/// For how long a message is sent again. The real gateways give up after days as well.
const TRIES_MAX: u32 = 100_000;
/// How long to wait before the second try; each further wait is twice as long.
const BACKOFF_MS: u64 = 500;
/// How long to wait between two tries at most.
const BACKOFF_MS_MAX: u64 = 10_000;
/// How long the other side may take.
const TIMEOUT_MS: u64 = 10_000;
/// How many messages are on their way at the same time.
const CONCURRENCY_MAX: usize = 32;

/// A header that signs a body, for protocols that do not sign inside of it.
pub(crate) type Seal = fn(secret: &str, at_secs: i64, body: &str) -> Option<(&'static str, String)>;

/// Brings messages to one place.
#[derive(Clone)]
pub(crate) struct Courier {
    client: reqwest::Client,
    url: String,
    secret: String,
    seal: Seal,
    places: Arc<Semaphore>,
    /// The newest message that was taken.
    newest_taken: watch::Sender<u64>,
}

impl Courier {
    /// A courier to `url`.
    pub(crate) fn new(url: String, secret: String, seal: Seal) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(TIMEOUT_MS))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()?;
        let places = Arc::new(Semaphore::new(CONCURRENCY_MAX));
        Ok(Self { client, url, secret, seal, places, newest_taken: watch::Sender::new(0) })
    }

    /// Sends `message` until it is taken: all its copies at once, and not before its time. False when
    /// it gives up.
    pub(crate) async fn deliver(&self, message: Message) -> bool {
        let early_ms = u64::try_from(message.not_before_ms - edge::now_ms()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(early_ms)).await;
        if let Some(within_ms) = message.overtaken_within_ms {
            let mut newest_taken = self.newest_taken.subscribe();
            let overtaken = newest_taken.wait_for(|newest| *newest > message.id);
            // When nothing follows, there is nothing to come after.
            let _ = tokio::time::timeout(Duration::from_millis(within_ms), overtaken).await;
        }
        let body: Arc<str> = message.body.into();
        let mut copies = tokio::task::JoinSet::new();
        for _ in 0..message.copies {
            let (courier, body) = (self.clone(), Arc::clone(&body));
            copies.spawn(async move { courier.deliver_copy(&body).await });
        }
        let are_taken = copies.join_all().await.into_iter().all(|is_taken| is_taken);
        if are_taken {
            self.newest_taken.send_modify(|newest| *newest = message.id.max(*newest));
        }
        are_taken
    }

    async fn deliver_copy(&self, body: &str) -> bool {
        let mut backoff_ms = BACKOFF_MS;
        for _ in 0..TRIES_MAX {
            if self.try_once(body).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(backoff_ms)).await;
            backoff_ms = (backoff_ms * 2).min(BACKOFF_MS_MAX);
        }
        tracing::warn!(tries = TRIES_MAX, "the sandbox gives up on a webhook");
        false
    }

    async fn try_once(&self, body: &str) -> bool {
        let Ok(_place) = self.places.acquire().await else {
            return false;
        };
        let mut request = self.client.post(&self.url).header("content-type", "application/json; charset=utf-8");
        if let Some((name, value)) = (self.seal)(&self.secret, edge::now_ms() / 1000, body) {
            request = request.header(name, value);
        }
        match request.body(body.to_owned()).send().await {
            Ok(response) if response.status().is_success() => return true,
            Ok(response) => tracing::debug!(http.status = response.status().as_u16(), "webhook refused"),
            Err(error) => tracing::debug!(error = %error, "webhook not delivered"),
        }
        false
    }
}
