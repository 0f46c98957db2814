//! Adyen over HTTP: keys, headers, JSON in, JSON out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::call::Call;
use super::error::ApiError;
use super::{Adyen, answer};
use crate::answer::Answer;
use crate::gateway::{End, Gateway, Incoming};
use crate::wire::Wire;

/// How large a request may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long an idempotency key may be.
const KEY_CHARS_MAX: usize = 64;

/// Every request that is not for the control.
pub(crate) async fn handle(
    State(gateway): State<Arc<Gateway<Adyen>>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: HttpRequest,
) -> Response {
    let key = text_header(request.headers(), "idempotency-key");
    let end = match read(&gateway, request).await {
        Ok(incoming) => gateway.answer(incoming).await,
        Err(error) => End::Answer(answer(Err(error))),
    };
    match end {
        End::Answer(answer) => respond(answer, key),
        End::Cut(cut) => {
            wire.cut(cut);
            Response::new(Body::empty())
        }
    }
}

async fn read(gateway: &Gateway<Adyen>, request: HttpRequest) -> Result<Incoming<Call>, ApiError> {
    let (parts, body) = request.into_parts();
    if let Some(api_key) = &gateway.api_key
        && text_header(&parts.headers, "x-api-key").as_ref() != Some(api_key)
    {
        return Err(ApiError::unauthorized());
    }
    let path = parts.uri.path().to_owned();
    if parts.method != Method::POST {
        return Err(ApiError::wrong_method());
    }
    let content_type = text_header(&parts.headers, "content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::unreadable("Unexpected content type, expected: application/json"));
    }
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| ApiError::unreadable("Unexpected input, expected: a shorter body"))?;
    let body: Value =
        serde_json::from_slice(&body).map_err(|error| ApiError::unreadable(format!("Unexpected input: {error}")))?;
    // A `Value` writes its members in one order, however they were sent.
    let digest = hex::encode(Sha256::digest(format!("{path}\n{body}")));
    let host = text_header(&parts.headers, "host").unwrap_or_default();
    Ok(Incoming {
        call: Call::parse(&path, body)?,
        key: idempotency_key(&parts.headers)?,
        digest,
        base_url: format!("http://{host}"),
        path,
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let key = text_header(headers, "idempotency-key").filter(|key| !key.is_empty());
    match key {
        Some(key) if key.chars().count() > KEY_CHARS_MAX => {
            Err(ApiError::invalid("702", format!("The idempotency key is longer than {KEY_CHARS_MAX} characters.")))
        }
        key => Ok(key),
    }
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn respond(answer: Answer, key: Option<String>) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let transient = answer.should_retry.filter(|_| !status.is_success());
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    let named = [
        ("idempotency-key", key),
        ("pspreference", Some(answer.request_id)),
        ("transient-error", transient.map(|it| it.to_string())),
        ("retry-after", answer.retry_after),
    ];
    for (name, value) in named {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    response
}
