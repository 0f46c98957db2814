//! Stripe's errors: one JSON shape, with the HTTP status that goes with the type.

use serde_json::{Value, json};

use super::form::FormError;
use super::objects::Failure;
use crate::gateway::Refusal;

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    /// What `Stripe-Should-Retry` says, where Stripe knows better than the status.
    pub(crate) should_retry: Option<bool>,
    kind: &'static str,
    message: String,
    /// Boxed, since every fallible function returns one.
    detail: Box<Detail>,
}

#[derive(Clone, Debug, Default)]
struct Detail {
    code: Option<String>,
    param: Option<String>,
    decline_code: Option<String>,
    charge: Option<String>,
    /// Whole objects that go with the error, by member.
    objects: Vec<(&'static str, Value)>,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, should_retry: None, kind, message: message.into(), detail: Box::default() }
    }

    /// 400: the request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// 400: the object is not in a state for this.
    pub(crate) fn unexpected_state(message: impl Into<String>, intent: Value) -> Self {
        let mut error = Self::invalid(message).code("payment_intent_unexpected_state");
        error.detail.objects.push(("payment_intent", intent));
        error
    }

    /// 404, or 400 for what only a parameter names.
    pub(crate) fn missing(status: u16, what: &str, id: &str, param: &str) -> Self {
        Self::new(status, "invalid_request_error", format!("No such {what}: '{id}'"))
            .code("resource_missing")
            .param(param)
    }

    /// 404: no such path.
    pub(crate) fn unknown_path(method: &str, path: &str) -> Self {
        let message = format!(
            "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or \
             we can help at https://support.stripe.com/."
        );
        Self::new(404, "invalid_request_error", message)
    }

    /// 401: no key, or a wrong one.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "invalid_request_error", message)
    }

    /// 402: the card did not go through.
    pub(crate) fn declined(failure: &Failure, method: Value, intent: Value) -> Self {
        let mut error = Self::new(402, "card_error", failure.message.clone()).code(&failure.code);
        error.detail.decline_code.clone_from(&failure.decline_code);
        error.detail.charge.clone_from(&failure.charge);
        error.detail.objects.push(("payment_intent", intent));
        error.detail.objects.push(("payment_method", method));
        error
    }

    /// 402 for a call that has no attempt of its own, such as a refund that the issuer refuses.
    pub(crate) fn refused(failure: &Failure) -> Self {
        let mut error = Self::new(402, "card_error", failure.message.clone()).code(&failure.code);
        error.detail.decline_code.clone_from(&failure.decline_code);
        error
    }

    /// 409: the first request with this key is not answered yet.
    pub(crate) fn key_in_use(key: &str) -> Self {
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key (that \
             probably means you submitted twice, and the other request is still going through): \
             {key}. Please try again later."
        );
        let mut error = Self::new(409, "idempotency_error", message).code("idempotency_key_in_use");
        error.should_retry = Some(true);
        error
    }

    /// 400: the key belongs to another request.
    pub(crate) fn key_reused(message: impl Into<String>) -> Self {
        let mut error = Self::new(400, "idempotency_error", message);
        error.should_retry = Some(false);
        error
    }

    /// 429: too many requests.
    pub(crate) fn rate_limited() -> Self {
        let message = "Request rate limit exceeded. Learn more about rate limits here \
                       https://stripe.com/docs/rate-limits.";
        let mut error = Self::new(429, "invalid_request_error", message).code("rate_limit");
        error.should_retry = Some(true);
        error
    }

    /// 500: something broke on the gateway's side.
    pub(crate) fn broken() -> Self {
        let message = "An error occurred with our connection to Stripe. Sorry about that! We've \
                       already been notified of the problem. If you need any help, please contact \
                       us at support@stripe.com.";
        Self::new(500, "api_error", message)
    }

    /// Adds a code.
    pub(crate) fn code(mut self, code: &str) -> Self {
        self.detail.code = Some(code.to_owned());
        self
    }

    /// Names the parameter that is to blame.
    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.detail.param = Some(param.into());
        self
    }

    /// The answer's body.
    pub(crate) fn body(&self) -> Value {
        let mut error = json!({"message": self.message, "type": self.kind});
        if let Some(code) = &self.detail.code {
            error["code"] = json!(code);
            error["doc_url"] = json!(doc_url(code));
        }
        if let Some(param) = &self.detail.param {
            error["param"] = json!(param);
        }
        if let Some(decline_code) = &self.detail.decline_code {
            error["decline_code"] = json!(decline_code);
        }
        if let Some(charge) = &self.detail.charge {
            error["charge"] = json!(charge);
        }
        for (member, object) in &self.detail.objects {
            error[*member] = object.clone();
        }
        json!({ "error": error })
    }
}

/// Where Stripe explains `code`.
pub(crate) fn doc_url(code: &str) -> String {
    let page = code.replace('_', "-");
    format!("https://stripe.com/docs/error-codes/{page}")
}

impl From<Refusal<'_>> for ApiError {
    fn from(refusal: Refusal<'_>) -> Self {
        match refusal {
            Refusal::RateLimited => Self::rate_limited(),
            Refusal::Broken => Self::broken(),
            Refusal::KeyInUse { key } => Self::key_in_use(key),
            Refusal::KeyOfOtherPath { key, path, first_path } => Self::key_reused(format!(
                "Keys for idempotent requests can only be used for the same endpoint they were first \
                 used for ('{path}' vs '{first_path}'). Try using a key other than '{key}' if you meant \
                 to execute a different request."
            )),
            Refusal::KeyOfOtherBody { key } => Self::key_reused(format!(
                "Keys for idempotent requests can only be used with the same parameters they were \
                 first used with. Try using a key other than '{key}' if you meant to execute a \
                 different request."
            )),
        }
    }
}

impl From<FormError> for ApiError {
    fn from(error: FormError) -> Self {
        let param = match &error {
            FormError::Name(name) | FormError::Repeated(name) => Some(name.clone()),
            FormError::Encoding | FormError::TooMuch => None,
        };
        let mut answer = Self::invalid(error.to_string());
        answer.detail.param = param;
        answer
    }
}
