//! The mark on an answer that is that of an earlier request.

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The answer, marked as that of an earlier request with the same key and body.
#[must_use]
pub(crate) fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(IDEMPOTENT_REPLAYED.clone(), HeaderValue::from_static("true"));
    response
}
