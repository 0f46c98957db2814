//! What an answer says about the call, before anybody looks at the object in it: the part that all protocols share.

use super::http::Answer;
use super::outcomes::{Doubt, DoubtReason, NotExecuted, NotExecutedReason, Refusal, RefusalClass};
use crate::card_number::redact_card_numbers;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;

/// A sentence of a gateway's that is longer is cut.
const SENTENCE_CHARS_MAX: usize = 200;

/// A call that did not end with the object that it is about. `E` is an error as the protocol writes it.
pub(super) enum Failure<E> {
    /// Certainly not executed; again.
    NotSent(NotExecuted),
    /// Certainly not executed, and never will be.
    Refused(Refusal),
    /// Unknown.
    Doubtful(Doubt),
    /// 4xx with an error that the protocol documents; what it means depends on the call.
    Said { status: StatusCode, error: Box<E> },
}

/// An error as a protocol writes it.
pub(super) trait ProtocolError: Sized {
    /// Reads it.
    fn parse(body: &[u8]) -> Result<Self, Doubt>;

    /// Why the call may have been executed although it was answered with this error.
    fn doubt(&self) -> Option<DoubtReason>;
}

/// The body of a call that succeeded; else what its status says, as far as that is the same everywhere.
pub(super) fn read<E: ProtocolError>(answer: Answer) -> Result<Vec<u8>, Failure<E>> {
    let Answer { status, retry_after, body, .. } = answer;
    if status.is_success() {
        return body.map_err(Failure::Doubtful);
    }
    if status.is_server_error() {
        let detail = format!("the gateway answered {}", status.as_u16());
        return Err(Failure::Doubtful(Doubt { reason: DoubtReason::ServerError, detail, retry_after }));
    }
    if !status.is_client_error() {
        return Err(Failure::Doubtful(unreadable(format!("the gateway answered {}", status.as_u16()))));
    }
    let error = body.and_then(|body| E::parse(&body));
    let doubt = if status == StatusCode::CONFLICT {
        Some(DoubtReason::InFlight)
    } else {
        error.as_ref().ok().and_then(E::doubt)
    };
    if let Some(reason) = doubt {
        return Err(Failure::Doubtful(Doubt { reason, detail: detail_of(reason).to_owned(), retry_after }));
    }
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS => Failure::NotSent(NotExecuted {
            reason: NotExecutedReason::RateLimited,
            detail: "the gateway asks for fewer calls".into(),
            retry_after,
        }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused(Refusal {
            class: RefusalClass::Credentials,
            code: status.as_str().to_owned(),
            // Theirs may quote the key.
            message: "the gateway does not accept our key for this".into(),
        }),
        status => match error {
            Ok(error) => Failure::Said { status, error: Box::new(error) },
            Err(doubt) => Failure::Doubtful(doubt),
        },
    })
}

fn detail_of(reason: DoubtReason) -> &'static str {
    match reason {
        DoubtReason::InFlight => "the gateway is still working on this",
        DoubtReason::KeyReused => "the gateway knows this key with other content",
        _ => "the gateway does not say what became of this",
    }
}

/// Reads an object.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Doubt> {
    // The cause may quote the body, so it is not passed on.
    serde_json::from_slice(body).map_err(|_| unreadable("the gateway's answer is not of the documented form"))
}

/// An answer that is not what the documentation describes.
pub(super) fn unreadable(detail: impl Into<String>) -> Doubt {
    Doubt::new(DoubtReason::Unreadable, detail)
}

/// A gateway's sentence, fit to be stored and shown.
pub(super) fn sentence(text: &str) -> String {
    redact_card_numbers(text).chars().take(SENTENCE_CHARS_MAX).collect()
}
