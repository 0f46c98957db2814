//! Adyen's errors: one JSON shape, with the HTTP status that goes with the category.

use serde_json::{Value, json};

use crate::gateway::Refusal;

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    /// Whether the same call can be made again with the same key, as the header `transient-error` says.
    pub(crate) is_transient: bool,
    code: &'static str,
    message: String,
    kind: &'static str,
}

impl ApiError {
    fn new(status: u16, code: &'static str, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, is_transient: false, code, message: message.into(), kind }
    }

    /// 400: not what the API reads.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(400, "702", "validation", message)
    }

    /// 422: read, but not valid.
    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(422, code, "validation", message)
    }

    /// 401: no key, or a wrong one.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "000", "security", "HTTP Status Response - Unauthorized")
    }

    /// 403: an account that is not the merchant's.
    pub(crate) fn wrong_account() -> Self {
        Self::new(403, "901", "security", "Invalid Merchant Account")
    }

    /// 404: no such path.
    pub(crate) fn unknown_path() -> Self {
        Self::new(404, "000", "validation", "HTTP Status Response - Not Found")
    }

    /// 405: the API is for POST alone.
    pub(crate) fn wrong_method() -> Self {
        Self::new(405, "000", "validation", "HTTP Status Response - Method Not Allowed")
    }

    /// 422: there is no such payment.
    pub(crate) fn unknown_payment() -> Self {
        Self::invalid("167", "Original pspReference required for this operation")
    }

    fn transient(mut self) -> Self {
        self.is_transient = true;
        self
    }

    /// The answer's body.
    pub(crate) fn body(&self, psp_reference: &str) -> Value {
        json!({
            "status": self.status,
            "errorCode": self.code,
            "message": self.message,
            "errorType": self.kind,
            "pspReference": psp_reference,
        })
    }
}

impl From<Refusal<'_>> for ApiError {
    fn from(refusal: Refusal<'_>) -> Self {
        const IN_USE: &str = "request already processed or in progress";
        match refusal {
            Refusal::RateLimited => {
                Self::new(429, "000", "security", "HTTP Status Response - Too Many Requests").transient()
            }
            Refusal::Broken => Self::new(500, "903", "internal", "Internal error").transient(),
            Refusal::KeyInUse { .. } => Self::invalid("704", IN_USE).transient(),
            Refusal::KeyOfOtherPath { .. } | Refusal::KeyOfOtherBody { .. } => Self::invalid("704", IN_USE),
        }
    }
}
