//! Calls to Stripe: addresses and headers.
//! <https://docs.stripe.com/error-low-level>

use super::objects::ErrorObject;
use crate::gateways::answers::{self, read};
use crate::gateways::http::send;
use crate::gateways::outcomes::{Doubt, DoubtReason};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};

/// The version of the API that this code was written against.
const API_VERSION: &str = "2026-02-25.clover";

/// A call that did not end with the object that it is about.
pub(super) type Failure = answers::Failure<ErrorObject>;

/// Where Stripe is and how it knows us.
pub(super) struct Calls {
    client: Client,
    base: String,
    api_key: SecretString,
}

impl Calls {
    pub(super) fn new(client: Client, base: String, api_key: SecretString) -> Self {
        Self { client, base, api_key }
    }

    /// A call that changes something: the same key again is the same call.
    pub(super) async fn post(&self, path: &str, key: Option<&str>, form: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        let mut request = self.client.post(self.url(path)).form(form);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request).await
    }

    /// A call that reads.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        self.send(self.client.get(self.url(path)).query(query)).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        // reqwest marks this header as sensitive, so that it is not printed with the request.
        let request = request.bearer_auth(self.api_key.expose_secret()).header("Stripe-Version", API_VERSION);
        let answer = send(request).await?;
        // what it answered first, again: whoever made that call is not at work any more
        let is_kept = answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true");
        match read(answer) {
            Err(Failure::Doubtful(doubt)) if is_kept && doubt.reason == DoubtReason::ServerError => {
                Err(Failure::Doubtful(Doubt { reason: DoubtReason::KeptError, ..doubt }))
            }
            read => read,
        }
    }
}
