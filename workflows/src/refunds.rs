//! Refunds: money that goes back to a buyer, each by a saga of its own: `request` writes down what is owed and
//! takes back tickets and seats, `submit` has the gateway pay, `settle` closes the books.

mod news;
mod request;
mod settle;
mod submit;

pub use news::{RefundEnd, RefundNews};
pub use request::{LeftBehindCharge, RefundRequested, RequestInput, RequestRefund};
pub use settle::{SettleInput, SettleRefund, Settled};
pub use submit::{ProbeRefund, RefundNote, SubmitInput, SubmitRefund, Submitted};

use crate::{gateways::IdempotencyKey, gateways::RequestError, ids::RefundId};

/// The signal that something happened to a refund; its payload is [`RefundNews`].
#[must_use]
pub fn refund_signal(refund: RefundId) -> String {
    format!("refund:{refund}")
}

/// By which the gateway knows a refund: the same while its outcome is unknown, another after a definite failure.
fn refund_key(refund: RefundId, generation: i32) -> Result<IdempotencyKey, RequestError> {
    IdempotencyKey::new(format!("refund:{refund}:{generation}"))
}
