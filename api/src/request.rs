//! What happens around every request: its id, its span and log line, its metrics, its bounds.
//!
//! The handler runs in a task of its own. So a client that hangs up, or our own time limit, never drops it in the
//! middle of a database transaction, and a panic is an answer like any other. How many run at once is bounded;
//! what is beyond is refused at once rather than queued.

use crate::{
    card_data,
    problem::{Problem, kinds},
    state::ApiState,
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use orchestrator::ids::fresh_uuid;
use std::time::Instant;
use tokio::task::JoinError;
use tracing::Instrument;

/// The header by which an answer is found in the log.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The trace that a request is part of (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// The longest request id that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Routes that must answer when nothing else can.
const ALWAYS_ANSWERED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The outermost middleware.
pub(crate) async fn around(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let request_id = request_id(request.headers());
    let method = request.method().clone();
    // The template, never the address itself: people put into addresses what must not be in a log.
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request", otel.kind = "server", otel.name = format!("{method} {route}"), request.id = %request_id, http.method = %method, http.route = route,
        http.status = tracing::field::Empty, actor = tracing::field::Empty, saga.id = tracing::field::Empty, order.id = tracing::field::Empty,
    );
    if let Some(trace) = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
        state.engine.traces().follow(&span, trace);
    }
    let mut response = bounded(&state, &route, request, next).instrument(span.clone()).await;
    finish(&mut response, &request_id);
    span.record("http.status", response.status().as_u16());
    span.in_scope(|| note(&method, &route, response.status(), begun));
    response
}

/// Runs the handler within its bounds: how many at once, and how long.
async fn bounded(state: &ApiState, route: &str, request: Request, next: Next) -> Response {
    let permit = match state.in_flight.clone().try_acquire_owned() {
        Ok(permit) => Some(permit),
        Err(_) if ALWAYS_ANSWERED.contains(&route) => None,
        Err(_) => {
            metrics::counter!("showrunner_http_requests_shed_total").increment(1);
            return Problem::new(&kinds::OVERLOADED, "Too many requests are being answered.")
                .retry_after(1)
                .into_response();
        }
    };
    let handler = async move {
        let response = next.run(request).await;
        drop(permit);
        response
    };
    let task = tokio::spawn(handler.in_current_span());
    match tokio::time::timeout(state.request_timeout, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => failed(error),
        Err(_) => Problem::new(&kinds::TIMED_OUT, "The request took too long.").retry_after(1).into_response(),
    }
}

fn failed(error: JoinError) -> Response {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            Problem::internal(format!("a handler panicked: {}", card_data::mask(text))).into_response()
        }
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// What every answer carries.
fn finish(response: &mut Response, request_id: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn note(method: &Method, route: &str, status: StatusCode, begun: Instant) {
    let elapsed = begun.elapsed();
    let labels =
        [("method", known_method(method)), ("route", route.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!("showrunner_http_requests_total", &labels).increment(1);
    // without the status, of which each would bring its own buckets
    metrics::histogram!("showrunner_http_request_seconds", &labels[..2]).record(elapsed);
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if status < 400 {
        tracing::debug!(http.status = status, duration_ms, "{method} {route}: {status}");
    } else {
        tracing::info!(http.status = status, duration_ms, "{method} {route}: {status}");
    }
}

/// A client can invent methods without end; a metric's label cannot hold them all.
fn known_method(method: &Method) -> String {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH];
    if known.contains(method) { method.to_string() } else { "other".to_owned() }
}

/// The client's id when it is one that can stand in a log, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()))
        .filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
        .filter(|id| !card_data::in_text(id))
        .map_or_else(|| format!("req_{}", fresh_uuid().simple()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str) -> String {
        request_id(&HeaderMap::from_iter([(REQUEST_ID.clone(), HeaderValue::from_str(id).unwrap())]))
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_that_tells_nothing() {
        let panicked = tokio::spawn(async { panic!("the password is hunter2") }).await;
        let response = failed(panicked.unwrap_err());
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
    }

    #[test]
    fn a_sane_request_id_is_kept() {
        assert_eq!(given("a-b_c.9"), "a-b_c.9");
        for bad in ["", "a b", "<x>", &"a".repeat(129), "4111111111111111", "4111-1111-1111-1111"] {
            assert!(given(bad).starts_with("req_"), "{bad}");
        }
        assert!(request_id(&HeaderMap::new()).starts_with("req_"));
    }
}
