//! Answers, as far as the connection has anything to say about them.

use crate::store::StoredAnswer;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The gateway's own name for the request.
    pub(crate) request_id: String,
    /// The request that was answered like this first, when this is a replay.
    pub(crate) original_request: Option<String>,
    /// Whether the gateway says that the same request can be made again, or that it cannot.
    pub(crate) should_retry: Option<bool>,
    /// Whether the same key gets the same answer from now on.
    pub(crate) sticks: bool,
    /// What `Retry-After` says, where a fault says what.
    pub(crate) retry_after: Option<String>,
}

impl Answer {
    /// An answer that sticks to its key.
    pub(crate) fn new(status: u16, body: String, request_id: String) -> Self {
        Self { status, body, request_id, original_request: None, should_retry: None, sticks: true, retry_after: None }
    }

    /// The first answer again.
    pub(crate) fn replay(stored: StoredAnswer, request_id: String) -> Self {
        Self {
            status: stored.status,
            body: stored.body,
            request_id,
            original_request: Some(stored.request_id),
            // The same failure would come again for as long as the key lives.
            should_retry: (stored.status >= 500).then_some(false),
            sticks: true,
            retry_after: None,
        }
    }

    /// A success that ends in the middle.
    pub(crate) fn cut_short(mut self) -> Self {
        let mut end = self.body.len() / 2;
        while !self.body.is_char_boundary(end) {
            end -= 1;
        }
        self.body.truncate(end);
        if !(200..300).contains(&self.status) {
            self.status = 200;
        }
        self
    }
}
