//! What gateways answer.
//!
//! Each outcome is definitely executed, definitely not executed, or unknown ([`Doubt`]). "Not executed" and
//! "refused" speak of this call alone: when the same key was sent before and that call is in doubt, it still is.

use super::requests::{AmountError, Reference};
use crate::money::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Money that a gateway has taken, as the gateway says; compare it with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Captured {
    /// The charge.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
}

/// The code of a decline that says: it was authorised, and the money could not be taken.
pub const CAPTURE_FAILED: &str = "capture_failed";

/// A charge that the issuer or the gateway said no to. No money moved, and by this attempt none will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decline {
    /// The charge, where it has a name.
    pub reference: Option<Reference>,
    /// The gateway's code: `insufficient_funds`.
    pub code: String,
    /// What it means for us.
    pub category: DeclineCategory,
    /// The gateway's sentence.
    pub message: String,
}

/// What a decline means for what we do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeclineCategory {
    /// No gateway would get another answer.
    Final,
    /// Another gateway could do better.
    RetryElsewhere,
    /// The buyer must do something (prove who they are) before this can be charged.
    NeedsAction,
}

/// A call that was certainly not executed and that may be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotExecuted {
    /// Why.
    pub reason: NotExecutedReason,
    /// One sentence.
    pub detail: String,
    /// How long the gateway asks us to wait.
    pub retry_after: Option<Duration>,
}

/// Why a call was certainly not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotExecutedReason {
    /// No connection came about: refused, no such host, no TLS, no answer to the attempt to connect.
    NoConnection,
    /// The gateway turned it away (429).
    RateLimited,
    /// We did not ask: the gateway's breaker is open for this operation.
    BreakerOpen,
    /// We did not ask: the same call was made before, and repeated calls are as many as they may be for now.
    RetryBudget,
}

impl NotExecuted {
    /// Whether it was we who did not ask. Nothing is wrong with the call: it waits, and no attempt is used up.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        matches!(self.reason, NotExecutedReason::BreakerOpen | NotExecutedReason::RetryBudget)
    }
}

/// A call that was certainly not executed and that will be refused again as it is: a person must look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of mistake it is.
    pub class: RefusalClass,
    /// The gateway's code, or ours.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What kind of mistake a refused call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalClass {
    /// The key is wrong, or may not do this.
    Credentials,
    /// The gateway does not understand us: its address, or a setting.
    Configuration,
    /// An amount that this gateway does not move.
    Amount,
}

impl From<AmountError> for Refusal {
    fn from(error: AmountError) -> Self {
        Self { class: RefusalClass::Amount, code: "amount".into(), message: error.to_string() }
    }
}

/// An outcome that we cannot know from this call: ask before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Why.
    pub reason: DoubtReason,
    /// One sentence.
    pub detail: String,
    /// How long the gateway asks us to wait.
    pub retry_after: Option<Duration>,
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtReason {
    /// No answer in time.
    Timeout,
    /// The connection was lost after the call may have been sent.
    ConnectionLost,
    /// 5xx. Some gateways replay a stored 500 for the same key for ever.
    ServerError,
    /// The gateway says again what it has answered to this key before, which is 5xx: that call is over, no call with the
    /// key does anything any more, and asking tells what it did.
    KeptError,
    /// An answer that is cut, too long, not JSON, or not of the documented shape.
    Unreadable,
    /// The same key, or the same charge, is being worked on at this moment.
    InFlight,
    /// The gateway remembers this key with other content: what it did then is what counts.
    KeyReused,
    /// The gateway says that the state of the charge forbids the call.
    UnexpectedState,
    /// The gateway could not be asked: no connection came about. Of calls that ask, and of voids.
    NoConnection,
    /// The gateway could not be asked: it turned the call away (429). Of calls that ask, and of voids.
    RateLimited,
    /// The gateway would not be asked: our key or our address is wrong. Only of calls that ask.
    NotAsked,
    /// We did not ask: the gateway's breaker is open for this operation. Of calls that ask, and of voids.
    BreakerOpen,
    /// We did not ask: the same call was made before, and repeated calls are as many as they may be for now. Of voids.
    RetryBudget,
}

impl Doubt {
    /// Whether it was we who did not ask. The doubt is as old as it was, and no attempt is used up.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        matches!(self.reason, DoubtReason::BreakerOpen | DoubtReason::RetryBudget)
    }
}

/// Of [`super::Gateway::prepare`]. Unknown is harmless here: nothing has moved, the same key may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrepareOutcome {
    /// Made; write it down before the charge.
    Prepared(Reference),
    /// The protocol has no such step.
    NothingToPrepare,
    /// The payment method cannot be used.
    Declined(Decline),
    /// Certainly not executed; again.
    NotExecuted(NotExecuted),
    /// Certainly not executed, and never will be.
    Refused(Refusal),
    /// Unknown; again with the same key.
    Unknown(Doubt),
}

/// Of [`super::Gateway::charge`].
#[derive(Debug, Clone, PartialEq)]
pub enum ChargeOutcome {
    /// Definitely executed.
    Captured(Captured),
    /// Definitely not executed: declined.
    Declined(Decline),
    /// The buyer must do something first; no money has moved.
    ActionRequired {
        /// The charge.
        reference: Reference,
        /// What the buyer must do, in the gateway's words.
        next_action: Value,
    },
    /// The gateway works on it: wait for its webhook, or probe. Not a reason to fail over.
    Processing {
        /// The charge.
        reference: Reference,
    },
    /// Definitely not executed: it was voided before this call came.
    Voided {
        /// The charge.
        reference: Reference,
    },
    /// Certainly not executed; again, or elsewhere.
    NotExecuted(NotExecuted),
    /// Certainly not executed, and never will be.
    Refused(Refusal),
    /// Unknown: probe.
    Unknown(Doubt),
}

/// Of [`super::Gateway::probe`].
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeOutcome {
    /// Definitely executed.
    Captured(Captured),
    /// Not executed yet, but still open: a charge on its way could execute it. Void it to be sure.
    NotCaptured {
        /// The charge.
        reference: Reference,
    },
    /// Definitely not executed: declined.
    Declined(Decline),
    /// Definitely not executed, and no late arrival can.
    Voided {
        /// The charge.
        reference: Reference,
    },
    /// The buyer must do something first.
    ActionRequired {
        /// The charge.
        reference: Reference,
        /// What the buyer must do, in the gateway's words.
        next_action: Value,
    },
    /// The gateway works on it.
    Processing {
        /// The charge.
        reference: Reference,
    },
    /// The gateway does not know it. Not final while a call may still be on its way.
    NotFound,
    /// The protocol, or the call (no reference is known), has no way of asking.
    CannotAsk,
    /// The gateway could not be asked, or we do not understand it: ask again.
    Unknown(Doubt),
}

/// Of [`super::Gateway::void`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoidOutcome {
    /// Definitely dead; a late arrival is refused.
    Voided {
        /// The charge.
        reference: Reference,
    },
    /// Too late: the money was taken. Refund it.
    AlreadyCaptured(Captured),
    /// The gateway has taken the wish, and tells by webhook whether the charge is dead.
    Accepted,
    /// The gateway works on the charge and cannot end it now: probe later.
    Processing {
        /// The charge.
        reference: Reference,
    },
    /// The gateway does not know it. Not final while a call may still be on its way.
    NotFound,
    /// The protocol, or the call (no reference is known), has no way of ending it.
    CannotVoid,
    /// Certainly not executed, and never will be.
    Refused(Refusal),
    /// Unknown, or certainly not executed: again with the same key.
    Unknown(Doubt),
}

/// Money given back, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refunded {
    /// The refund.
    pub reference: Reference,
    /// How much, as the gateway says.
    pub amount: Money,
}

/// A refund that definitely failed: the money is still with us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundFailure {
    /// The refund, where it has a name.
    pub reference: Option<Reference>,
    /// The gateway's code.
    pub code: String,
    /// The gateway's sentence.
    pub message: String,
    /// Asking again cannot end otherwise, as the gateway's own table says: a person must find another way.
    pub is_final: bool,
}

/// Of [`super::Gateway::refund`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// Definitely done.
    Succeeded(Refunded),
    /// Accepted; its end comes by webhook, or by asking.
    Pending(Refunded),
    /// Definitely failed.
    Failed(RefundFailure),
    /// The gateway says that nothing is left to refund. It may have been this refund, beyond the gateway's memory of
    /// its key: asking by our id tells.
    NothingLeft,
    /// Certainly not executed; again.
    NotExecuted(NotExecuted),
    /// Certainly not executed, and never will be.
    Refused(Refusal),
    /// Unknown: probe, then the same key and the same content again.
    Unknown(Doubt),
}

/// Of [`super::Gateway::probe_refund`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundProbeOutcome {
    /// Definitely done.
    Succeeded(Refunded),
    /// Accepted, not ended.
    Pending(Refunded),
    /// Definitely failed.
    Failed(RefundFailure),
    /// The gateway does not know it. Not final while a call may still be on its way.
    NotFound,
    /// The protocol has no way of asking.
    CannotAsk,
    /// The gateway could not be asked, or we do not understand it: ask again.
    Unknown(Doubt),
}
