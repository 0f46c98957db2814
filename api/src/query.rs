//! Query strings and path parameters, read as strictly as bodies: what is not understood is refused with its name.

use crate::{
    card_data,
    problem::{Problem, kinds},
    strict_json::unknown_member,
};
use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use serde::de::DeserializeOwned;

/// The longest query string.
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// A query string of type `T` (which denies unknown fields).
#[derive(Debug)]
pub(crate) struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read(&pairs(&parts.uri)?).map(Self)
    }
}

/// The parameters of a query, in order; none of them looks like card data.
///
/// # Errors
/// 400.
pub(crate) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let query = uri.query().unwrap_or_default();
    if query.len() > QUERY_BYTES_MAX {
        return Err(Problem::new(
            &kinds::INVALID_PARAMETER,
            format!("The query may have at most {QUERY_BYTES_MAX} bytes."),
        ));
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(Problem::new(&kinds::INVALID_PARAMETER, "A NUL character is not accepted."));
    }
    if pairs.iter().any(|(name, value)| card_data::in_text(name) || card_data::in_text(value)) {
        return Err(Problem::card_data());
    }
    Ok(pairs)
}

/// Reads parameters as `T`.
///
/// # Errors
/// 400, with the parameter's name.
pub(crate) fn read<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T, Problem> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let message = error.inner().to_string();
        if let Some(name) = unknown_member(&message) {
            return Problem::new(&kinds::UNKNOWN_PARAMETER, format!("`{name}` is not known here."))
                .with("parameter", name);
        }
        let name = error.path().to_string();
        let detail = if name == "." { message } else { format!("{name}: {message}") };
        Problem::new(&kinds::INVALID_PARAMETER, detail).with("parameter", name)
    })
}

/// Path parameters; what cannot be one of ours does not exist.
#[derive(Debug)]
pub(crate) struct StrictPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for StrictPath<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            return Err(Problem::no_such_address());
        }
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(|_| Problem::no_such_address())?;
        Ok(Self(value))
    }
}

/// Refuses parameters on a route that has none.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Wanted {
        user_id: Option<String>,
        limit: Option<u32>,
    }

    fn asked(query: &str) -> Result<Wanted, Problem> {
        read(&pairs(&format!("/orders?{query}").parse().unwrap())?)
    }

    #[test]
    fn parameters_are_read() {
        assert_eq!(asked("userId=a%20b&limit=5").unwrap(), Wanted { user_id: Some("a b".into()), limit: Some(5) });
        assert_eq!(asked("").unwrap(), Wanted { user_id: None, limit: None });
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let unknown = asked("userid=a").unwrap_err();
        assert_eq!(unknown.kind(), &kinds::UNKNOWN_PARAMETER);
        assert!(format!("{unknown:?}").contains("userid"));
        let wrong = asked("limit=many").unwrap_err();
        assert_eq!(wrong.kind(), &kinds::INVALID_PARAMETER);
        assert!(format!("{wrong:?}").contains("limit"));
        assert_eq!(asked("limit=1&limit=2").unwrap_err().kind(), &kinds::INVALID_PARAMETER);
        assert_eq!(asked("userId=a%00").unwrap_err().kind(), &kinds::INVALID_PARAMETER);
        assert_eq!(asked("userId=4111+1111+1111+1111").unwrap_err().kind(), &kinds::CARD_DATA_REFUSED);
    }
}
