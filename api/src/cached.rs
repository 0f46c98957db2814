//! Answers that may be kept: an entity tag, how long it holds, and 304 for who has it already.

use crate::problem::Problem;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Whether the client has something and asks if it is still right.
#[must_use]
pub(crate) fn names_any(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_NONE_MATCH)
}

/// 304, when the client names the version that it would get.
///
/// # Errors
/// 500 when the version cannot stand in a header.
pub(crate) fn not_modified(
    request: &HeaderMap,
    cache_control: &'static str,
    version: &str,
) -> Result<Option<Response>, Problem> {
    if !knows(request, &tag(version)) {
        return Ok(None);
    }
    labelled(StatusCode::NOT_MODIFIED.into_response(), cache_control, version).map(Some)
}

/// `body` as JSON, with its version.
///
/// # Errors
/// 500 when it cannot be written.
pub(crate) fn answer(cache_control: &'static str, version: &str, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(Problem::internal)?;
    let response = ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response();
    labelled(response, cache_control, version)
}

/// [`not_modified`], or else [`answer`].
///
/// # Errors
/// As they.
pub(crate) fn answer_if_new(
    request: &HeaderMap,
    cache_control: &'static str,
    version: &str,
    body: &impl Serialize,
) -> Result<Response, Problem> {
    match not_modified(request, cache_control, version)? {
        Some(response) => Ok(response),
        None => answer(cache_control, version, body),
    }
}

fn labelled(mut response: Response, cache_control: &'static str, version: &str) -> Result<Response, Problem> {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&tag(version)).map_err(Problem::internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    Ok(response)
}

/// Weak: the version tells what is said, not byte for byte how.
fn tag(version: &str) -> String {
    format!("W/\"{version}\"")
}

/// Whether `If-None-Match` has this tag.
fn knows(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|named| named.trim() == "*" || opaque(named) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: &str = "public, max-age=30";

    fn asked(named: &str) -> Response {
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, named.parse().unwrap())]);
        answer_if_new(&headers, KEEP, "v7", &[1, 2]).unwrap()
    }

    #[test]
    fn who_has_it_gets_nothing() {
        let first = answer_if_new(&HeaderMap::new(), KEEP, "v7", &[1, 2]).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        for named in [tag.to_str().unwrap(), "\"v7\"", "\"x\", W/\"v7\"", "*"] {
            let response = asked(named);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{named}");
            assert_eq!(response.headers()[header::ETAG], tag);
            assert_eq!(response.headers()[header::CACHE_CONTROL], KEEP);
        }
        assert_eq!(asked("\"x\"").status(), StatusCode::OK);
    }
}
