//! Refunds: money that goes back to a buyer, each by a saga of its own: `request` reserves the money, `approve` waits
//! for a second person where one is needed and takes back tickets and seats, `submit` has the gateway pay, `settle`
//! closes the books.

mod approve;
mod ask;
pub(crate) mod books;
mod disputed;
mod list;
mod news;
mod notes;
pub(crate) mod order;
mod part;
mod refunding;
mod replay;
pub mod replays;
mod request;
#[cfg(test)]
mod scripted;
mod settle;
mod standing;
mod submit;
#[cfg(test)]
mod tests;
mod tries;

pub use approve::{ApproveInput, ApproveRefund, RefundApproved, RefundWithdrawn, WithdrawRefund};
pub use ask::{AskError, AskRefund, Asked, RefundAsked, Refunds};
pub use list::{REFUND_STATES, Refund, RefundFilter, RefundPosition, find, list};
pub use news::{RefundEnd, RefundNews};
pub use notes::RefundNote;
pub use part::{NotRefundable, Wanted};
pub use replay::{ReplayError, ReplayRefund, Replayed, replay};
pub use request::{LeftBehindCharge, RefundRequested, RequestInput, RequestRefund, ReserveRefund};
pub use settle::{SettleInput, SettleRefund, Settled};
pub use submit::{ProbeRefund, SubmitInput, SubmitRefund, Submitted};

pub(crate) use approve::{Awaited, WITHDRAWN, withdraw_in_tx};
pub(crate) use ask::{reserve_cancelled_in_tx, start_of};
pub(crate) use list::{content_in_tx, saga_of};
pub(crate) use request::NewRefund;

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
