//! What gateways tell us of their own accord. A webhook is news, not the truth: it may come late, twice or out of
//! order, so the caller merges it with what it knows, or asks.

use super::outcomes::{Captured, Decline, Doubt};
use super::requests::Reference;
use crate::ids::{OrderId, RefundId};
use crate::money::Money;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// One piece of news, believed as far as its signature goes.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookEvent {
    /// The gateway's id of the news: the same id again is the same news.
    pub id: String,
    /// When it happened there.
    pub occurred_at: DateTime<Utc>,
    /// The order that we named when we charged or refunded, where the gateway gives it back.
    pub order_id: Option<OrderId>,
    /// Our own name for the charge ([`super::Gateway::own_reference`]), where the gateway gives it back.
    pub own_reference: Option<Reference>,
    /// What happened.
    pub kind: WebhookKind,
}

/// What happened at the gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookKind {
    /// A charge took money.
    PaymentCaptured(Captured),
    /// A charge was declined.
    PaymentDeclined(Decline),
    /// A charge was ended before it took money.
    PaymentVoided {
        /// The charge.
        reference: Reference,
    },
    /// A charge could not be ended.
    PaymentVoidFailed {
        /// The charge, where there is one.
        reference: Option<Reference>,
    },
    /// A charge is being worked on.
    PaymentProcessing {
        /// The charge.
        reference: Reference,
    },
    /// The buyer must do something first.
    PaymentActionRequired {
        /// The charge.
        reference: Reference,
        /// What, in the gateway's words.
        next_action: Value,
    },
    /// A refund has come to a state.
    Refund {
        /// The refund.
        reference: Reference,
        /// The charge that it refunds, where the gateway says.
        payment: Option<Reference>,
        /// Our own id of the refund, where the gateway gives it back.
        refund_id: Option<RefundId>,
        /// Which try at the gateway it is, where the gateway gives it back.
        generation: Option<i32>,
        /// How much.
        amount: Money,
        /// The state.
        state: RefundState,
    },
    /// The buyer's bank disputes a charge.
    Dispute {
        /// The dispute.
        reference: Reference,
        /// The charge.
        payment: Option<Reference>,
        /// How much is disputed.
        amount: Money,
        /// Where the dispute stands, in the gateway's words.
        status: String,
    },
    /// Something that we have no use for, by its name.
    Other(String),
    /// One of several pieces of news that is not what the documentation describes: why it cannot be read.
    Unreadable(String),
}

/// Where a refund stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundState {
    /// Accepted, not ended.
    Pending,
    /// The money is back.
    Succeeded,
    /// The money is still with us, or again.
    Failed {
        /// Why, in the gateway's words.
        reason: String,
        /// See [`super::RefundFailure::is_final`].
        is_final: bool,
    },
}

/// Why nothing that a webhook says may be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No signature, or not in the documented form.
    #[error("the webhook is not signed")]
    NotSigned,
    /// Signed too long ago, or in the future.
    #[error("the webhook's time is more than {} seconds off", super::signature::TOLERANCE_SECS)]
    Stale,
    /// Signed by somebody else, or changed on the way.
    #[error("the webhook's signature is wrong")]
    WrongSignature,
    /// Rightly signed, and not what the documentation describes.
    #[error("the webhook cannot be read: {0}")]
    Unreadable(String),
}

/// Of what is read the same way in answers and in webhooks.
impl From<Doubt> for WebhookError {
    fn from(doubt: Doubt) -> Self {
        Self::Unreadable(doubt.detail)
    }
}
