//! Results as answers.

use serde_json::Value;

use super::error::ApiError;
use crate::answer::Answer;
use crate::edge;

/// The answer that `result` makes.
pub(super) fn answer(result: Result<Value, ApiError>) -> Answer {
    let (status, body, should_retry) = match result {
        Ok(body) => (200, body, None),
        Err(error) => (error.status, error.body(), error.should_retry),
    };
    Answer { should_retry, ..Answer::new(status, format!("{body:#}\n"), new_request_id()) }
}

/// A new id for a request.
pub(super) fn new_request_id() -> String {
    edge::random_id("req_", 14)
}
