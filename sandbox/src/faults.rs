//! The fault knobs: what goes wrong from now on, for which calls and how often.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edge;

/// The longest that a fault can hold an answer back.
const DELAY_MS_MAX: u64 = 600_000;
/// How long a call that times out is held when nothing else is said.
const TIMEOUT_DELAY_MS: u64 = 60_000;
/// How long a slow call takes when nothing else is said.
const SLOW_DELAY_MS: u64 = 1_000;
/// How long what is decided later takes when nothing else is said.
const LATE_DELAY_MS: u64 = 2_000;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The call is declined.
    Decline,
    /// The call is declined for want of money.
    InsufficientFunds,
    /// Not executed, answered with a 500 that sticks to the idempotency key.
    #[serde(rename = "error_500")]
    Error500,
    /// Never executed and never answered.
    TimeoutBefore,
    /// Executed and never answered.
    TimeoutAfter,
    /// Never executed; the connection is reset.
    Reset,
    /// Executed, and answered with a success whose JSON ends in the middle.
    Malformed,
    /// Not executed, answered with a 429.
    RateLimited,
    /// Executed, and answered late.
    Slow,
    /// The buyer has to do something first.
    ActionRequired,
    /// Answered before it is decided; the outcome comes by webhook.
    Async,
    /// A refund succeeds, and fails after that.
    RefundFailsLater,
    /// A webhook comes several times, at once.
    WebhookDuplicate,
    /// A webhook comes long after what it tells of.
    WebhookLate,
    /// A webhook comes after the one that follows it.
    WebhookReordered,
}

/// What a fault spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The call on its way in, or the answer on its way out.
    Connection,
    /// What the gateway decides.
    Outcome,
    /// What it tells afterwards.
    Webhook,
}

/// What a call is about, in the words of every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Announces a payment and moves no money.
    Create,
    /// Moves money, or asks the issuer to.
    Charge,
    /// Takes money that was authorized.
    Capture,
    /// Ends a payment before it is captured.
    Void,
    /// Gives money back.
    Refund,
    /// Reads.
    Probe,
}

/// Which calls a fault is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Charge,
    Refund,
    Capture,
    Void,
    Probe,
    #[default]
    All,
}

/// One knob that is turned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    fault: Fault,
    #[serde(default)]
    operation: Operation,
    #[serde(default = "always")]
    rate: f64,
    /// How many more calls it hits; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// What `Retry-After` says of a call that is turned away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
}

/// Why a rule is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    /// It cannot be read; the cause names the member or the fault.
    #[error("{0}")]
    Unreadable(#[source] serde_json::Error),
    /// Out of bounds.
    #[error("rate must be between 0 and 1")]
    Rate,
    /// Out of bounds.
    #[error("count must be at least 1")]
    Count,
    /// Out of bounds.
    #[error("delayMs must be at most {DELAY_MS_MAX}")]
    Delay,
    /// Nothing of a header's value.
    #[error("retryAfter must be printable, and is of rate_limited alone")]
    RetryAfter,
    /// The operation cannot go wrong in this way.
    #[error("fault {fault:?} has no meaning for operation {operation:?}")]
    Meaningless { fault: Fault, operation: Operation },
}

fn always() -> f64 {
    1.0
}

impl Rule {
    /// Reads a rule and refuses what would have no effect or a surprising one.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, RuleError> {
        let rule: Self = serde_json::from_slice(body).map_err(RuleError::Unreadable)?;
        if !(0.0..=1.0).contains(&rule.rate) {
            return Err(RuleError::Rate);
        }
        if rule.count == Some(0) {
            return Err(RuleError::Count);
        }
        if rule.delay_ms.is_some_and(|delay| delay > DELAY_MS_MAX) {
            return Err(RuleError::Delay);
        }
        let is_retry_after = |text: &String| {
            rule.fault == Fault::RateLimited && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        };
        if !rule.retry_after.as_ref().is_none_or(is_retry_after) {
            return Err(RuleError::RetryAfter);
        }
        if !rule.fault.can_hit(rule.operation) {
            return Err(RuleError::Meaningless { fault: rule.fault, operation: rule.operation });
        }
        Ok(rule)
    }

    fn covers(&self, kind: Kind) -> bool {
        match self.operation {
            Operation::All => match self.fault {
                Fault::RefundFailsLater => kind == Kind::Refund,
                // Only what moves money is decided otherwise unless somebody asks for more.
                fault => fault.stage() != Stage::Outcome || kind == Kind::Charge,
            },
            Operation::Charge => kind == Kind::Charge,
            Operation::Refund => kind == Kind::Refund,
            Operation::Capture => kind == Kind::Capture,
            Operation::Void => kind == Kind::Void,
            Operation::Probe => kind == Kind::Probe,
        }
    }

    fn delay(&self) -> Duration {
        let default_ms = match self.fault {
            Fault::TimeoutBefore | Fault::TimeoutAfter => TIMEOUT_DELAY_MS,
            Fault::Slow => SLOW_DELAY_MS,
            Fault::Async | Fault::RefundFailsLater | Fault::WebhookLate | Fault::WebhookReordered => LATE_DELAY_MS,
            _ => 0,
        };
        Duration::from_millis(self.delay_ms.unwrap_or(default_ms))
    }
}

impl Fault {
    /// What it spoils.
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Error500
            | Self::TimeoutBefore
            | Self::TimeoutAfter
            | Self::Reset
            | Self::Malformed
            | Self::RateLimited
            | Self::Slow => Stage::Connection,
            Self::Decline | Self::InsufficientFunds | Self::ActionRequired | Self::Async | Self::RefundFailsLater => {
                Stage::Outcome
            }
            Self::WebhookDuplicate | Self::WebhookLate | Self::WebhookReordered => Stage::Webhook,
        }
    }

    /// Whether `operation` can go wrong in this way at all: a read decides nothing and tells nothing.
    fn can_hit(self, operation: Operation) -> bool {
        match (self, operation) {
            (Self::ActionRequired, operation) => matches!(operation, Operation::Charge | Operation::All),
            (Self::RefundFailsLater, operation) => matches!(operation, Operation::Refund | Operation::All),
            (fault, Operation::Probe) => fault.stage() == Stage::Connection,
            _ => true,
        }
    }
}

/// A fault that one call was hit by.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// How long the answer, the end without one, or what is decided or told later is held back.
    pub(crate) delay: Duration,
    /// What `Retry-After` says.
    pub(crate) retry_after: Option<String>,
}

impl Hit {
    /// The delay, to be added to a time.
    pub(crate) fn delay_ms(&self) -> i64 {
        i64::try_from(self.delay.as_millis()).unwrap_or(i64::MAX)
    }
}

/// All knobs of one gateway.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Turns a knob: the same fault for the same operation is replaced, which bounds how many
    /// there are.
    pub(crate) fn set(&self, rule: Rule) {
        let mut rules = self.lock();
        rules.retain(|old| (old.fault, old.operation) != (rule.fault, rule.operation));
        rules.push(rule);
    }

    /// Ends all faults.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// What is in force.
    pub(crate) fn list(&self) -> Vec<Rule> {
        self.lock().clone()
    }

    /// The first rule of `stage` that hits a call of this kind, counted down.
    pub(crate) fn pick(&self, stage: Stage, kind: Kind, applies: impl Fn(Fault) -> bool) -> Option<Hit> {
        let mut rules = self.lock();
        let index = rules.iter().position(|rule| {
            rule.fault.stage() == stage && rule.covers(kind) && applies(rule.fault) && edge::roll(rule.rate)
        })?;
        let rule = &mut rules[index];
        let hit = Hit { fault: rule.fault, delay: rule.delay(), retry_after: rule.retry_after.clone() };
        if let Some(count) = &mut rule.count {
            *count -= 1;
            if *count == 0 {
                rules.remove(index);
            }
        }
        Some(hit)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
