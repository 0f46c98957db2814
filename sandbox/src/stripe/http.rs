//! Stripe over HTTP: keys, headers, form bodies in, JSON out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::call::Request;
use super::error::ApiError;
use super::form::{self, Field, Fields};
use super::{API_VERSION, Stripe, answer};
use crate::answer::Answer;
use crate::gateway::{End, Gateway, Incoming};
use crate::wire::Wire;

/// How large a request may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long an idempotency key may be.
const KEY_CHARS_MAX: usize = 255;
/// What a client that is rate limited is told to wait.
const RETRY_AFTER_SECS: &str = "1";

/// Every request that is not for the control.
pub(crate) async fn handle(
    State(gateway): State<Arc<Gateway<Stripe>>>,
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

async fn read(gateway: &Gateway<Stripe>, request: HttpRequest) -> Result<Incoming<Request>, ApiError> {
    let (parts, body) = request.into_parts();
    check_key(gateway.api_key.as_deref(), &parts.headers)?;
    let method = parts.method.as_str();
    let path = parts.uri.path().to_owned();
    let unknown = || ApiError::unknown_path(method, &path);
    let below = path.strip_prefix("/v1/").ok_or_else(unknown)?;

    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| ApiError::invalid("Invalid request: the body cannot be read"))?;
    let fields = fields(&parts.headers, parts.uri.query(), &body)?;
    let canonical = serde_json::to_string(&Field::Map(fields.clone())).expect("fields are texts by name");
    let digest = hex::encode(Sha256::digest(format!("{method} {path}\n{canonical}")));
    let key = match parts.method {
        Method::POST => idempotency_key(&parts.headers)?,
        _ => None,
    };
    let host = text_header(&parts.headers, "host").unwrap_or_default();
    Ok(Incoming { call: Request::parse(method, below, fields)?, key, digest, base_url: format!("http://{host}"), path })
}

/// Refuses a request without the right API key: as bearer token, or as the user of basic
/// authentication.
fn check_key(api_key: Option<&str>, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(api_key) = api_key else {
        return Ok(());
    };
    let Some(authorization) = text_header(headers, "authorization") else {
        return Err(ApiError::unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization \
             header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See \
             https://stripe.com/docs/api#authentication for details, or we can help at \
             https://support.stripe.com/.",
        ));
    };
    let given = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.to_owned()),
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("basic") => basic_user(token),
        _ => None,
    };
    if given.as_deref() == Some(api_key) {
        return Ok(());
    }
    Err(ApiError::unauthorized("Invalid API Key provided"))
}

fn basic_user(token: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    let (user, _) = decoded.split_once(':')?;
    Some(user.to_owned())
}

fn fields(headers: &HeaderMap, query: Option<&str>, body: &[u8]) -> Result<Fields, ApiError> {
    let mut fields = Fields::new();
    form::parse_into(&mut fields, query.unwrap_or_default())?;
    if body.is_empty() {
        return Ok(fields);
    }
    let content_type = text_header(headers, "content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ApiError::invalid(
            "Invalid request (check that your POST content type is \
             application/x-www-form-urlencoded). If you have any questions, we can help at \
             https://support.stripe.com/.",
        ));
    }
    let body = std::str::from_utf8(body).map_err(|_| form::FormError::Encoding)?;
    form::parse_into(&mut fields, body)?;
    Ok(fields)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let key = text_header(headers, "idempotency-key").filter(|key| !key.is_empty());
    match key {
        Some(key) if key.chars().count() > KEY_CHARS_MAX => {
            Err(ApiError::key_reused(format!("Idempotency keys can be at most {KEY_CHARS_MAX} characters long.")))
        }
        key => Ok(key),
    }
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn respond(answer: Answer, key: Option<String>) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_replay = answer.original_request.is_some();
    let replayed = is_replay.then(|| "true".to_owned());
    let is_limited = status == StatusCode::TOO_MANY_REQUESTS;
    let is_unauthorized = status == StatusCode::UNAUTHORIZED;
    let optional = [
        ("idempotency-key", key),
        ("idempotent-replayed", replayed),
        ("original-request", answer.original_request),
        ("retry-after", answer.retry_after.or(is_limited.then(|| RETRY_AFTER_SECS.to_owned()))),
        ("stripe-should-retry", answer.should_retry.map(|it| it.to_string())),
        ("www-authenticate", is_unauthorized.then(|| "Bearer realm=\"Stripe\"".to_owned())),
    ];

    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert("stripe-version", HeaderValue::from_static(API_VERSION));
    let optional = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .chain([("request-id", answer.request_id)]);
    for (name, value) in optional {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
