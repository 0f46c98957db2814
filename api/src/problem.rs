//! Errors as RFC 9457 problems: the one place where an error becomes an answer.
//!
//! What may be told goes into `detail` and the problem's own members. An internal cause goes into the log, once,
//! when the problem becomes an answer, and never to the client.

pub mod kinds;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kinds::Kind;
use orchestrator::{
    ReadError,
    db::{Trouble, trouble},
    group_commit::CommitError,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::error::Error;
use utoipa::ToSchema;
use workflows::access::Role;

/// What every refused or failed request is answered with.
#[derive(Debug)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    members: Map<String, Value>,
    retry_after_secs: Option<u64>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of this kind; `detail` is a sentence for the client about this occurrence.
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), retry_after_secs: None, cause: None }
    }

    /// With a member of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// With a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Nothing can be there, whatever there is.
    #[must_use]
    pub fn no_such_address() -> Self {
        Self::new(&kinds::NOT_FOUND, "Nothing is at this address.")
    }

    /// There is none, or it is not the caller's, who is told the same.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(&kinds::NOT_FOUND, format!("There is no such {what}."))
    }

    /// The caller's role does not include this; `may` says of a role whether it does.
    pub(crate) fn wrong_role(detail: impl Into<String>, may: impl Fn(Role) -> bool) -> Self {
        let roles: Vec<&str> = Role::ALL.into_iter().filter(|role| may(*role)).map(Role::as_str).collect();
        Self::new(&kinds::WRONG_ROLE, detail).with("roles", roles)
    }

    /// Several mistakes in what was sent, each with a JSON pointer and a message; the first of them is the detail.
    pub(crate) fn mistakes<M: Serialize>(
        kind: &'static Kind,
        mistakes: &[M],
        told: impl Fn(&M) -> (&str, &str),
    ) -> Self {
        let detail = match mistakes.first().map(told).unwrap_or_default() {
            // of the whole
            ("", message) => message.to_owned(),
            (pointer, message) => format!("{pointer}: {message}"),
        };
        Self::new(kind, detail).with("mistakes", json!(mistakes))
    }

    /// A member, at this JSON pointer, that is not of the expected form.
    pub fn invalid_value(pointer: &str, detail: impl Into<String>) -> Self {
        Self::new(&kinds::INVALID_VALUE, detail).with("pointer", pointer)
    }

    /// The idempotency key belongs to another request.
    #[must_use]
    pub fn idempotency_conflict() -> Self {
        Self::new(&kinds::IDEMPOTENCY_CONFLICT, "The key was used with another body.")
    }

    /// Something that looks like a card number came in.
    #[must_use]
    pub fn card_data() -> Self {
        Self::new(&kinds::CARD_DATA_REFUSED, "Something in the request looks like a card number. Send a token.")
    }

    /// Something of ours failed. The cause is logged when this is answered, and not told.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause = cause.into();
        Self { cause: Some(cause), ..Self::new(&kinds::INTERNAL, "The request could not be completed.") }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    fn log(&self) {
        if let Some(cause) = &self.cause {
            let mut text = cause.to_string();
            let mut source = cause.source();
            while let Some(inner) = source {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                source = inner.source();
            }
            tracing::error!(problem = self.kind.slug, cause = text, "a request failed: {text}");
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if trouble(&error) == Trouble::Lasting {
            return Self::internal(error);
        }
        let told = Self::new(&kinds::UNAVAILABLE, "The database cannot be reached at the moment.").retry_after(2);
        Self { cause: Some(Box::new(error)), ..told }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => error.into(),
            corrupt => Self::internal(corrupt),
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(_) => Self::internal(error),
            CommitError::Away(_) | CommitError::Stopped => {
                let told = Self::new(&kinds::UNAVAILABLE, "The database cannot be reached at the moment.");
                Self { cause: Some(Box::new(error)), ..told.retry_after(2) }
            }
        }
    }
}

/// The members that every problem has; those of its own kind stand beside them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({"type": "/problems/not-found", "title": "There is no such thing", "status": 404,
    "detail": "Nothing is at this address."}))]
pub struct ProblemBody {
    /// `/problems/<slug>`: explains this kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words, the same for every problem of this kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence about this occurrence.
    pub detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let standard = ProblemBody {
            kind: format!("/problems/{}", self.kind.slug),
            title: self.kind.title.to_owned(),
            status: self.kind.status.as_u16(),
            detail: self.detail,
        };
        let mut body = match json!(standard) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        body.extend(self.members);
        let mut response = (self.kind.status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"showrunner\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    #[tokio::test]
    async fn an_internal_cause_is_not_told() {
        let problem = Problem::internal(std::io::Error::other("the password is hunter2"));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert!(!String::from_utf8(body.to_vec()).unwrap().contains("hunter2"));
    }

    #[tokio::test]
    async fn members_stand_beside_the_standard_ones() {
        let response = Problem::invalid_value("/seatIds", "must have at least one").into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({"type": "/problems/invalid-value", "title": "A value is not of the expected form",
                   "status": 400, "detail": "must have at least one", "pointer": "/seatIds"})
        );
    }

    #[test]
    fn a_mistake_of_the_whole_has_no_place() {
        let detail = |pointer: &str| {
            let mistakes = [(pointer.to_owned(), "is wrong".to_owned())];
            Problem::mistakes(&kinds::INVALID_INPUT, &mistakes, |(pointer, message)| (pointer, message)).detail
        };
        assert_eq!((detail("").as_str(), detail("/name").as_str()), ("is wrong", "/name: is wrong"));
    }

    #[test]
    fn a_database_that_is_away_is_told_from_a_mistake_of_ours() {
        assert_eq!(Problem::from(sqlx::Error::PoolTimedOut).kind(), &kinds::UNAVAILABLE);
        assert_eq!(Problem::from(sqlx::Error::RowNotFound).kind(), &kinds::INTERNAL);
    }
}
