//! JSON bodies, read strictly: what is ambiguous, hostile or not understood is refused before anything is done.
//!
//! The order matters. The type and the size are looked at first, then the text ([`parse`]), then card numbers,
//! and only then the members ([`members`]), so that no message ever repeats card data.

mod members;
mod parse;

use crate::{
    card_data,
    problem::{Problem, kinds},
};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use members::Members;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// The largest JSON body.
pub(crate) const JSON_BYTES_MAX: usize = 64 * 1024;
/// The deepest nesting.
pub(crate) const DEPTH_MAX: u8 = 32;
/// How much of a message about a value is told.
const DETAIL_CHARS_MAX: usize = 300;

/// A JSON body of type `T`, every member of which was understood.
#[derive(Debug)]
pub(crate) struct StrictJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."));
        }
        let bytes = read_body(&parts.headers, body, JSON_BYTES_MAX).await?;
        read(&bytes).map(Self)
    }
}

/// As [`StrictJson`], of requests that need no body at all.
#[derive(Debug)]
pub(crate) struct StrictJsonOrNothing<T>(pub Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, JSON_BYTES_MAX).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        if !is_json(&parts.headers) {
            return Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."));
        }
        read(&bytes).map(|body| Self(Some(body)))
    }
}

/// Reads a whole body of at most `bytes_max`; one that says that it is longer is not read at all.
///
/// # Errors
/// 413 when it is longer, 400 when it does not arrive whole.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(&kinds::BODY_TOO_LARGE, format!("The body may have at most {bytes_max} bytes."));
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    to_bytes(body, bytes_max).await.map_err(|error| {
        let over =
            std::error::Error::source(&error).is_some_and(|inner| inner.is::<http_body_util::LengthLimitError>());
        if over { too_large() } else { Problem::new(&kinds::MALFORMED_JSON, "The body did not arrive whole.") }
    })
}

/// Reads a JSON text strictly.
///
/// # Errors
/// The problem that says what is wrong with it.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value = parse::parse(bytes, DEPTH_MAX)
        .map_err(|error| Problem::new(&kinds::MALFORMED_JSON, card_data::mask(&error.to_string())))?;
    if card_data::in_json(&value) {
        return Err(Problem::card_data());
    }
    from_value(value)
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Members(value)).map_err(|error| {
        let pointer = pointer(error.path());
        let text = error.inner().to_string();
        match unknown_member(&text) {
            Some(name) => Problem::new(&kinds::UNKNOWN_MEMBER, format!("`{name}` is not known here."))
                .with("member", name)
                .with("pointer", pointer),
            None => Problem::invalid_value(&pointer, text.chars().take(DETAIL_CHARS_MAX).collect::<String>()),
        }
    })
}

/// The name in serde's message about a member that a type does not have.
pub(crate) fn unknown_member(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field `")?;
    let end = rest.find("`, expected").or_else(|| rest.find("`, there are no fields"))?;
    rest.get(..end)
}

/// An RFC 6901 pointer to where reading stopped.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let text = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&text);
    }
    pointer
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        seat_ids: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        price: i64,
    }

    async fn extract(content_type: &str, body: impl Into<Body>) -> Result<StrictJson<Outer>, Problem> {
        let request = Request::builder().header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap();
        StrictJson::from_request(request, &()).await
    }

    #[tokio::test]
    async fn the_type_of_the_body_is_checked() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"] {
            extract(good, r#"{"seatIds": []}"#).await.unwrap();
        }
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "text/json"] {
            let problem = extract(bad, r#"{"seatIds": []}"#).await.unwrap_err();
            assert_eq!(problem.kind(), &kinds::UNSUPPORTED_MEDIA_TYPE, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_body_past_the_limit_is_refused() {
        let at_limit = format!("{}{}", r#"{"seatIds": []}"#, " ".repeat(JSON_BYTES_MAX - 15));
        extract("application/json", at_limit.clone()).await.unwrap();
        let problem = extract("application/json", format!("{at_limit} ")).await.unwrap_err();
        assert_eq!(problem.kind(), &kinds::BODY_TOO_LARGE);
    }

    #[test]
    fn an_unknown_member_is_named_with_its_place() {
        let problem = read::<Outer>(br#"{"seatIds": [{"price": 1}, {"price": 2, "prize": 3}]}"#).unwrap_err();
        assert_eq!(problem.kind(), &kinds::UNKNOWN_MEMBER);
        let text = format!("{problem:?}");
        assert!(text.contains("prize") && text.contains("/seatIds/1"), "{text}");
    }

    #[test]
    fn money_is_a_whole_number() {
        for bad in ["1.0", "1e2", "\"1\"", "null", "9223372036854775808"] {
            let text = format!(r#"{{"seatIds": [{{"price": {bad}}}]}}"#);
            let problem = read::<Outer>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.kind(), &kinds::INVALID_VALUE, "{bad}");
            let text = format!("{problem:?}");
            assert!(text.contains("/seatIds/0/price") && text.contains("a whole number from -9223372036"), "{text}");
        }
    }

    #[test]
    fn a_list_is_not_taken_for_the_members_of_an_object() {
        for (bad, pointer) in [("[[]]", "\"\""), (r#"{"seatIds": [[1]]}"#, "/seatIds/0"), ("\"x\"", "\"\"")] {
            let problem = read::<Outer>(bad.as_bytes()).unwrap_err();
            assert_eq!(problem.kind(), &kinds::INVALID_VALUE, "{bad}");
            let text = format!("{problem:?}");
            assert!(text.contains("must be an object") && text.contains(pointer), "{text}");
        }
    }

    #[test]
    fn card_numbers_are_refused_anywhere_and_not_repeated() {
        for body in [
            r#"{"4111111111111111": 1}"#,
            r#"{"seatIds": [], "note": "my card is 4111 1111 1111 1111 thanks"}"#,
            r#"{"seatIds": [4111111111111111]}"#,
            r#"{"seatIds": [[{"x": "4111-1111-1111-1111"}]]}"#,
            r#"{"4111111111111111": 1, "4111111111111111": 2}"#,
        ] {
            let problem = read::<Outer>(body.as_bytes()).unwrap_err();
            let text = format!("{problem:?}");
            assert!(!text.contains("4111"), "{text}");
        }
    }
}
