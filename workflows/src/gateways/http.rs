//! One HTTP call to a gateway, and how far it came. What matters about a call that failed is whether the gateway may
//! have seen it.

use super::answers::Failure;
use super::outcomes::{Doubt, DoubtReason, NotExecuted, NotExecutedReason};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::time::{Duration, SystemTime};

/// Longer answers are not read.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Connecting may take this part of a call's time, and no longer than [`CONNECT_MS_MAX`]: a connection that does not
/// come about in time is a call that was certainly not executed, which is worth more than a timeout.
const CONNECT_SHARE: u32 = 2;
const CONNECT_MS_MAX: u64 = 3_000;
/// A gateway that asks for more patience than this is asked again after it all the same.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);

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
    let retry_after = retry_after(&headers, SystemTime::now());
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

/// Seconds, or a date: by the clock of the gateway where it says what that shows, else by ours.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let there = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
            let at = httpdate::parse_http_date(value).ok()?;
            at.duration_since(there.unwrap_or(now)).unwrap_or_default()
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
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
            NotExecutedReason::BreakerOpen => DoubtReason::BreakerOpen,
            NotExecutedReason::RetryBudget => DoubtReason::RetryBudget,
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn asked(headers: &[(&'static str, &str)], now: &str) -> Option<u64> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        retry_after(&headers, httpdate::parse_http_date(now).unwrap()).map(|asked| asked.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_understood_and_capped() {
        let of = |value: &str, now: &str| asked(&[("retry-after", value)], now);
        assert_eq!(of("7", MOMENT), Some(7));
        assert_eq!(of(" 0 ", MOMENT), Some(0));
        assert_eq!(of("86400", MOMENT), Some(600));
        assert_eq!(of("99999999999999999999", MOMENT), None);
        for date in ["Sun, 06 Nov 1994 08:50:00 GMT", "Sunday, 06-Nov-94 08:50:00 GMT", "Sun Nov  6 08:50:00 1994"] {
            assert_eq!(of(date, MOMENT), Some(23), "{date}");
        }
        assert_eq!(of("Sun, 06 Nov 1994 08:00:00 GMT", MOMENT), Some(0), "over");
        assert_eq!(of("Mon, 07 Nov 1994 08:49:37 GMT", MOMENT), Some(600));
        for nonsense in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994"] {
            assert_eq!(of(nonsense, MOMENT), None, "{nonsense}");
        }
        assert_eq!(asked(&[], MOMENT), None);
    }

    #[test]
    fn a_date_is_of_the_clock_that_the_gateway_shows() {
        let ours = "Sun, 06 Nov 1994 09:49:37 GMT";
        let headers = [("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"), ("date", MOMENT)];
        assert_eq!(asked(&headers, ours), Some(23));
        let headers = [("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"), ("date", "x")];
        assert_eq!(asked(&headers, MOMENT), Some(23));
    }
}
