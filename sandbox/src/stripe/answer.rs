//! Answers: new ones, and those that a key has already.

use serde_json::Value;

use super::Incoming;
use super::error::ApiError;
use super::store::{KeyState, Store, StoredAnswer};
use crate::edge;

/// An answer, as far as the connection has anything to say about it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) request_id: String,
    /// The request that was answered like this first, when this is a replay.
    pub(super) original_request: Option<String>,
    pub(super) should_retry: Option<bool>,
}

impl Answer {
    /// The answer that `result` makes.
    pub(super) fn new(result: Result<Value, ApiError>, request_id: String) -> Self {
        let (status, body, should_retry) = match result {
            Ok(body) => (200, body, None),
            Err(error) => (error.status, error.body(), error.should_retry),
        };
        Self { status, body: format!("{body:#}\n"), request_id, original_request: None, should_retry }
    }

    /// A refusal before anything was carried out.
    pub(super) fn error(error: ApiError) -> Self {
        Self::new(Err(error), new_request_id())
    }

    /// The first answer again.
    pub(super) fn replay(stored: StoredAnswer) -> Self {
        Self {
            status: stored.status,
            body: stored.body,
            request_id: new_request_id(),
            original_request: Some(stored.request_id),
            // The same failure would come again for as long as the key lives.
            should_retry: (stored.status >= 500).then_some(false),
        }
    }

    /// A success that ends in the middle.
    pub(super) fn cut_short(mut self) -> Self {
        let mut end = self.body.len() / 2;
        while !self.body.is_char_boundary(end) {
            end -= 1;
        }
        self.body.truncate(end);
        self.status = 200;
        self
    }
}

/// A new id for a request.
pub(super) fn new_request_id() -> String {
    edge::random_id("req_", 14)
}

/// The answer to a key that was used before.
pub(super) fn known_answer(store: &Store, key: &str, incoming: &Incoming, now_ms: i64) -> Option<Answer> {
    let stored = match store.key_state(key, now_ms) {
        KeyState::Free => return None,
        KeyState::InUse => return Some(Answer::error(ApiError::key_in_use(key))),
        KeyState::Answered(stored) => stored,
    };
    if stored.path != incoming.path {
        let message = format!(
            "Keys for idempotent requests can only be used for the same endpoint they were first \
             used for ('{}' vs '{}'). Try using a key other than '{key}' if you meant to execute a \
             different request.",
            incoming.path, stored.path
        );
        return Some(Answer::error(ApiError::key_reused(message)));
    }
    if stored.digest != incoming.digest {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were first \
             used with. Try using a key other than '{key}' if you meant to execute a different \
             request."
        );
        return Some(Answer::error(ApiError::key_reused(message)));
    }
    Some(Answer::replay(stored))
}
