//! Calls to Stripe: headers, and what a status says about whether a call was executed.
//! <https://docs.stripe.com/error-low-level>

use super::objects::{ErrorEnvelope, ErrorObject};
use super::unreadable;
use crate::gateways::http::{Answer, CallError, send};
use crate::gateways::outcomes::{Doubt, DoubtReason, NotExecuted, NotExecutedReason, Refusal, RefusalClass};
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};

/// The version of the API that this code was written against.
const API_VERSION: &str = "2026-02-25.clover";

/// A call that did not end with the object that it is about.
pub(super) enum Failure {
    /// Certainly not executed; again.
    NotSent(NotExecuted),
    /// Certainly not executed, and never will be.
    Refused(Refusal),
    /// Unknown.
    Doubtful(Doubt),
    /// 4xx with an error that Stripe documents; what it means depends on the call.
    Said { status: StatusCode, error: Box<ErrorObject> },
}

/// Where Stripe is and how it knows us.
pub(super) struct Calls {
    client: Client,
    base: String,
    api_key: SecretString,
}

impl Calls {
    pub(super) fn new(client: Client, base_url: &str, api_key: SecretString) -> Self {
        Self { client, base: base_url.trim_end_matches('/').to_owned(), api_key }
    }

    /// A call that changes something: the same key again is the same call.
    pub(super) async fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        let request = self.client.post(self.url(path)).header("Idempotency-Key", key).form(form);
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
        match send(request).await {
            Ok(answer) => read(answer),
            Err(CallError::NotSent(not_executed)) => Err(Failure::NotSent(not_executed)),
            Err(CallError::Doubtful(doubt)) => Err(Failure::Doubtful(doubt)),
        }
    }
}

/// What an answer says about the call.
fn read(answer: Answer) -> Result<Vec<u8>, Failure> {
    let Answer { status, retry_after, body } = answer;
    if status.is_success() {
        return body.map_err(Failure::Doubtful);
    }
    let doubt = |reason, detail: &str| Failure::Doubtful(Doubt { reason, detail: detail.to_owned(), retry_after });
    if status.is_server_error() {
        return Err(doubt(DoubtReason::ServerError, &format!("the gateway answered {}", status.as_u16())));
    }
    let error = body.and_then(|body| super::parse::<ErrorEnvelope>(&body)).map(|envelope| envelope.error);
    let is_key_error = error.as_ref().is_ok_and(|error| error.kind.as_deref() == Some("idempotency_error"));
    // Another request holds the object: quite possibly an earlier one of ours.
    let is_locked = error.as_ref().is_ok_and(|error| error.has_code("lock_timeout"));
    Err(match status {
        StatusCode::CONFLICT => doubt(DoubtReason::InFlight, "the gateway is still working on this"),
        StatusCode::TOO_MANY_REQUESTS if is_locked => {
            doubt(DoubtReason::InFlight, "the gateway is still working on this")
        }
        StatusCode::TOO_MANY_REQUESTS => Failure::NotSent(NotExecuted {
            reason: NotExecutedReason::RateLimited,
            detail: "the gateway asks for fewer calls".into(),
            retry_after,
        }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused(Refusal {
            class: RefusalClass::Credentials,
            code: status.as_str().to_owned(),
            // Theirs may quote the key.
            message: "the gateway does not accept our key for this".into(),
        }),
        _ if is_key_error => doubt(DoubtReason::KeyReused, "the gateway knows this key with other content"),
        status if status.is_client_error() => match error {
            Ok(error) => Failure::Said { status, error: Box::new(error) },
            Err(doubt) => Failure::Doubtful(doubt),
        },
        status => Failure::Doubtful(unreadable(format!("the gateway answered {}", status.as_u16()))),
    })
}
