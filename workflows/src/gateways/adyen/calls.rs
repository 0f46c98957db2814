//! Calls to Adyen: addresses, headers, and how it says that a call may be under way.
//! <https://docs.adyen.com/development-resources/api-idempotency>

use super::objects::ErrorObject;
use crate::gateways::answers::{self, read};
use crate::gateways::http::send;
use crate::gateways::outcomes::{Doubt, DoubtReason};
use reqwest::Client;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The version of the API that this code was written against.
const API_VERSION: &str = "v71";
/// Longer keys are refused.
const KEY_CHARS_MAX: usize = 64;

/// A call that did not end with the object that it is about.
pub(super) type Failure = answers::Failure<ErrorObject>;

/// Where Adyen is and how it knows us.
pub(super) struct Calls {
    client: Client,
    base: String,
    api_key: HeaderValue,
}

impl Calls {
    /// Nothing where a header cannot carry the key.
    pub(super) fn new(client: Client, base: String, api_key: &SecretString) -> Option<Self> {
        let mut api_key = HeaderValue::from_str(api_key.expose_secret()).ok()?;
        // So that it is not printed with the request.
        api_key.set_sensitive(true);
        Some(Self { client, base, api_key })
    }

    /// A call that changes something: the same key again is the same call.
    pub(super) async fn post(&self, path: &str, key: Option<&str>, body: &impl Serialize) -> Result<Vec<u8>, Failure> {
        let url = format!("{}/{API_VERSION}/{path}", self.base);
        let mut request = self.client.post(url).header("X-API-Key", self.api_key.clone()).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", short(key).as_ref());
        }
        let answer = send(request).await?;
        let is_transient = answer.headers.get("transient-error").is_some_and(|value| value == "true");
        // 429 says more: nothing was done
        if answer.status.is_client_error() && is_transient && answer.status != StatusCode::TOO_MANY_REQUESTS {
            let detail = "the gateway asks for the same call later".to_owned();
            let retry_after = answer.retry_after;
            return Err(Failure::Doubtful(Doubt { reason: DoubtReason::InFlight, detail, retry_after }));
        }
        read(answer)
    }
}

/// A key as it is, or its digest where it is too long.
fn short(key: &str) -> Cow<'_, str> {
    if key.len() <= KEY_CHARS_MAX { Cow::Borrowed(key) } else { Cow::Owned(hex::encode(Sha256::digest(key))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_and_stay_apart() {
        let fits = "k".repeat(KEY_CHARS_MAX);
        assert_eq!(short(&fits), fits);
        let long = [format!("{fits}1"), format!("{fits}2")];
        assert!(long.iter().all(|key| short(key).len() == KEY_CHARS_MAX));
        assert_ne!(short(&long[0]), short(&long[1]));
        assert_eq!(short(&long[0]), short(&long[0]));
    }
}
