//! One HTTP call to a gateway, and how far it came. What matters about a call that failed is whether the gateway may
//! have seen it.

use super::answers::Failure;
use super::outcomes::{Doubt, DoubtReason, NotExecuted, NotExecutedReason};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::time::Duration;

/// Longer answers are not read.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Connecting may take this part of a call's time, and no longer than [`CONNECT_MS_MAX`]: a connection that does not
/// come about in time is a call that was certainly not executed, which is worth more than a timeout.
const CONNECT_SHARE: u32 = 2;
const CONNECT_MS_MAX: u64 = 3_000;
/// A gateway that asks for more patience than this is asked again after it all the same.
const RETRY_AFTER_SECS_MAX: u64 = 600;

/// A client that sends what it is told to, once, to where it is told to.
///
/// It follows no redirect (a 307 would send a charge again), repeats nothing by itself, knows no proxy and no cookie.
/// HTTP/1 keeps one call to a connection, so that a lost connection leaves one call in doubt and not a hundred.
pub(super) fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    let connect = (timeout / CONNECT_SHARE).min(Duration::from_millis(CONNECT_MS_MAX));
    Client::builder()
        .timeout(timeout)
        .connect_timeout(connect)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .user_agent(concat!("showrunner/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An answer, as far as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) retry_after: Option<Duration>,
    /// The whole body, or why there is none.
    pub(super) body: Result<Vec<u8>, Doubt>,
}

/// A call without an answer.
pub(super) enum CallError {
    /// The gateway cannot have seen it.
    NotSent(NotExecuted),
    /// It may have.
    Doubtful(Doubt),
}

/// Sends a request and reads the answer. Does not log: neither the address nor a body belongs in a log.
pub(super) async fn send(request: RequestBuilder) -> Result<Answer, CallError> {
    let response = request.send().await.map_err(|error| call_error(&error))?;
    let status = response.status();
    let headers = response.headers().clone();
    let retry_after = retry_after(&headers);
    let body = read_body(response).await;
    Ok(Answer { status, headers, retry_after, body })
}

/// Only what failed before there was a connection is certain; the time for the whole call may run out while it is
/// being made, and that counts as doubt.
fn call_error(error: &reqwest::Error) -> CallError {
    if error.is_connect() || error.is_builder() {
        let detail = if error.is_timeout() {
            "no connection to the gateway in time"
        } else if error.is_dns() {
            "the gateway's name is not known"
        } else if error.is_builder() {
            "the request could not be made"
        } else {
            "no connection to the gateway"
        };
        let detail = detail.to_owned();
        return CallError::NotSent(NotExecuted { reason: NotExecutedReason::NoConnection, detail, retry_after: None });
    }
    CallError::Doubtful(lost(error))
}

fn lost(error: &reqwest::Error) -> Doubt {
    if error.is_timeout() {
        Doubt::new(DoubtReason::Timeout, "the gateway did not answer in time")
    } else {
        Doubt::new(DoubtReason::ConnectionLost, "the connection to the gateway was lost")
    }
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, Doubt> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > BODY_BYTES_MAX => {
                return Err(Doubt::new(DoubtReason::Unreadable, "the gateway's answer is too long"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(lost(&error)),
            Err(_) => return Err(Doubt::new(DoubtReason::Unreadable, "the gateway's answer was cut off")),
        }
    }
}

/// Seconds; dates are not used by the gateways that we know.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(RETRY_AFTER_SECS_MAX)))
}

impl Doubt {
    /// A doubt with its reason and one sentence.
    pub(super) fn new(reason: DoubtReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None }
    }
}

/// Of calls that only ask, and of voids: not having asked leaves what was unknown unknown.
impl From<NotExecuted> for Doubt {
    fn from(not_executed: NotExecuted) -> Self {
        let NotExecuted { reason, detail, retry_after } = not_executed;
        let reason = match reason {
            NotExecutedReason::NoConnection => DoubtReason::NoConnection,
            NotExecutedReason::RateLimited => DoubtReason::RateLimited,
            NotExecutedReason::BreakerOpen | NotExecutedReason::RetryBudget => DoubtReason::BreakerOpen,
        };
        Self { reason, detail, retry_after }
    }
}

impl From<CallError> for Doubt {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(not_executed) => not_executed.into(),
            CallError::Doubtful(doubt) => doubt,
        }
    }
}

impl<E> From<CallError> for Failure<E> {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(not_executed) => Self::NotSent(not_executed),
            CallError::Doubtful(doubt) => Self::Doubtful(doubt),
        }
    }
}
