//! Asks a running showrunner over its HTTP API, and turns its problems into errors for people.

use std::fmt::Write;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

const JSON: &str = "application/json";
const CSV: &str = "text/csv";

/// An answer that was not what was hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody answers there.
    #[error("{url} cannot be reached: is showrunner running there? (--url or SHOWRUNNER_URL)")]
    Unreachable {
        /// Where.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Its answer has no end.
    #[error("{url} broke off in the middle of its answer: do not take it for the whole")]
    BrokeOff {
        /// Where.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It said no, and why.
    #[error("{}", for_people(*status, problem))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The problem document (RFC 9457).
        problem: Value,
    },
    /// Whoever answers there is not a showrunner.
    #[error("{url} answered {status}, but not as showrunner does")]
    Strange {
        /// Where.
        url: Url,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The URL cannot be one.
    #[error("{0} is not the URL of a server")]
    NotAUrl(Url),
}

/// A running showrunner and how it knows us.
#[derive(Debug)]
pub(crate) struct Client {
    base: Url,
    token: Option<SecretString>,
    http: reqwest::Client,
}

impl Client {
    /// A client for the showrunner at this URL.
    pub(crate) fn new(base: Url, token: Option<SecretString>) -> Self {
        Self { base, token, http: reqwest::Client::new() }
    }

    /// What there is at a path; each segment is encoded.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, ClientError> {
        self.send(self.request(Method::GET, path, JSON)?.query(query)).await
    }

    /// The same as CSV, part by part as it comes: it may be longer than fits into memory.
    pub(crate) async fn get_csv(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), ClientError> {
        let request = self.request(Method::GET, path, CSV)?.query(query);
        let mut answer = self.exchange(request).await?;
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !answer.status().is_success() || !kind.starts_with(CSV) {
            let strange = ClientError::Strange { url: answer.url().clone(), status: answer.status() };
            return Err(self.read(answer).await.err().unwrap_or(strange));
        }
        while let Some(part) = answer.chunk().await.map_err(|source| self.broke_off(source))? {
            take(&part);
        }
        Ok(())
    }

    /// Asks for something to be done.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::POST, path, JSON)?.json(body)).await
    }

    /// Puts something in the place of what is there.
    pub(crate) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::PUT, path, JSON)?.json(body)).await
    }

    /// Puts a YAML document.
    pub(crate) async fn put_yaml(&self, path: &[&str], document: String) -> Result<Value, ClientError> {
        let request = self.request(Method::PUT, path, JSON)?.header(header::CONTENT_TYPE, "application/yaml");
        self.send(request.body(document)).await
    }

    /// Sends a CSV file.
    pub(crate) async fn post_csv(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        file: Vec<u8>,
    ) -> Result<Value, ClientError> {
        let request = self.request(Method::POST, path, JSON)?.query(query).header(header::CONTENT_TYPE, "text/csv");
        self.send(request.body(file)).await
    }

    fn request(&self, method: Method, path: &[&str], accept: &str) -> Result<RequestBuilder, ClientError> {
        let url = below(&self.base, path)?;
        let request = self.http.request(method, url).header(header::ACCEPT, accept);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        self.read(self.exchange(request).await?).await
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable { url: self.base.clone(), source }
    }

    fn broke_off(&self, source: reqwest::Error) -> ClientError {
        ClientError::BrokeOff { url: self.base.clone(), source }
    }

    async fn read(&self, answer: Response) -> Result<Value, ClientError> {
        let (status, url) = (answer.status(), answer.url().clone());
        let body = answer.bytes().await.map_err(|source| self.unreachable(source))?;
        match serde_json::from_slice(&body) {
            Ok(value) if status.is_success() => Ok(value),
            Err(_) if status.is_success() && body.is_empty() => Ok(Value::Null),
            Ok(problem @ Value::Object(_)) => Err(ClientError::Refused { status, problem }),
            _ => Err(ClientError::Strange { url, status }),
        }
    }
}

/// The URL of what lies at a path below a base; each segment is encoded.
fn below(base: &Url, path: &[&str]) -> Result<Url, ClientError> {
    let mut url = base.clone();
    url.path_segments_mut().map_err(|()| ClientError::NotAUrl(base.clone()))?.pop_if_empty().extend(path);
    Ok(url)
}

/// A problem as a person reads it: what it is, the details, then what it has of its own.
fn for_people(status: StatusCode, problem: &Value) -> String {
    const COMMON: [&str; 5] = ["type", "title", "status", "detail", "instance"];
    let member = |name: &str| problem.get(name).and_then(Value::as_str);
    let mut text = member("title").unwrap_or("refused").to_owned();
    let detail = match status {
        // that it belongs into a header is our affair
        StatusCode::UNAUTHORIZED => Some("give a valid token with --token or SHOWRUNNER_TOKEN"),
        _ => member("detail"),
    };
    if let Some(detail) = detail {
        let _ = write!(text, ": {detail}");
    }
    let slug = member("type").and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
    let _ = write!(text, " ({} {slug})", status.as_u16());
    for (name, value) in problem.as_object().into_iter().flatten() {
        if COMMON.contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    let _ = write!(text, "\n  {}", crate::output::text(Some(item)));
                }
            }
            other => {
                let _ = write!(text, "\n  {name}: {}", crate::output::text(Some(other)));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_says_everything_that_it_knows() {
        let problem = json!({
            "type": "/problems/invalid-definition", "title": "The definition is not valid", "status": 422,
            "detail": "2 mistakes", "mistakes": [{"line": 3, "message": "unknown action"}], "saga": "x",
        });
        let text = for_people(StatusCode::UNPROCESSABLE_ENTITY, &problem);
        for part in ["The definition is not valid: 2 mistakes (422 invalid-definition)", "line=3", "saga: x"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn who_may_not_is_told_who_may_and_who_is_nobody_how_to_be_somebody() {
        let problem = json!({
            "title": "The token's role does not allow this", "type": "/problems/wrong-role", "roles": ["client", "admin"],
        });
        let text = for_people(StatusCode::FORBIDDEN, &problem);
        assert!(text.ends_with("(403 wrong-role)\n  roles: client, admin"), "{text}");
        let problem = json!({ "title": "A valid token is needed", "detail": "Send it in the Authorization header." });
        let text = for_people(StatusCode::UNAUTHORIZED, &problem);
        assert!(text.contains("--token or SHOWRUNNER_TOKEN") && !text.contains("header"), "{text}");
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        let url = below(&"http://localhost/base/".parse().unwrap(), &["sagas", "a/../b?c"]).unwrap();
        assert_eq!(url.as_str(), "http://localhost/base/sagas/a%2F..%2Fb%3Fc");
    }
}
