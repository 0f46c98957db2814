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
    /// Executed, and answered with JSON that ends in the middle.
    Malformed,
    /// Not executed, answered with a 429.
    RateLimited,
    /// Executed, and answered late.
    Slow,
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
enum Operation {
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
    /// A read is never declined.
    #[error("fault {fault:?} has no meaning for operation probe")]
    Meaningless { fault: Fault },
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
        let fault = rule.fault;
        if fault.is_decline() && rule.operation == Operation::Probe {
            return Err(RuleError::Meaningless { fault });
        }
        Ok(rule)
    }

    fn covers(&self, kind: Kind) -> bool {
        match self.operation {
            // Only what moves money is declined unless somebody asks for more.
            Operation::All => !self.fault.is_decline() || kind == Kind::Charge,
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
            _ => 0,
        };
        Duration::from_millis(self.delay_ms.unwrap_or(default_ms))
    }
}

impl Fault {
    fn is_decline(self) -> bool {
        matches!(self, Self::Decline | Self::InsufficientFunds)
    }

    /// Whether it changes what the gateway does, rather than what the network does: a call that was
    /// answered before gets its first answer again, whatever the knob says now.
    pub(crate) fn changes_execution(self) -> bool {
        self.is_decline() || self == Self::Error500
    }
}

/// A fault that one call was hit by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// How long the answer, or the end without one, is held back.
    pub(crate) delay: Duration,
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

    /// The first rule that hits a call of this kind, counted down.
    pub(crate) fn pick(&self, kind: Kind, applies: impl Fn(Fault) -> bool) -> Option<Hit> {
        let mut rules = self.lock();
        let index = rules.iter().position(|rule| rule.covers(kind) && applies(rule.fault) && edge::roll(rule.rate))?;
        let rule = &mut rules[index];
        let hit = Hit { fault: rule.fault, delay: rule.delay() };
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
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<Rule, String> {
        Rule::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        assert!(rule(r#"{"fault":"gremlin"}"#).unwrap_err().contains("gremlin"));
        assert!(rule(r#"{"fault":"slow","delay":1}"#).unwrap_err().contains("`delay`"));
        assert!(rule(r#"{"fault":"slow","operation":"settle"}"#).unwrap_err().contains("settle"));
        for bad in [
            r#"{"fault":"slow","rate":1.5}"#,
            r#"{"fault":"slow","rate":-1}"#,
            r#"{"fault":"slow","count":0}"#,
            r#"{"fault":"slow","delayMs":600001}"#,
            r#"{"fault":"decline","operation":"probe"}"#,
            "{}",
            "[]",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_count_runs_out_and_rate_zero_never_hits() {
        let faults = Faults::default();
        faults.set(rule(r#"{"fault":"reset","operation":"charge","count":2}"#).unwrap());
        faults.set(rule(r#"{"fault":"slow","rate":0}"#).unwrap());
        let hits = |kind| faults.pick(kind, |_| true).is_some();
        assert!(!hits(Kind::Refund));
        assert!(hits(Kind::Charge));
        assert!(hits(Kind::Charge));
        assert!(!hits(Kind::Charge));
        assert_eq!(faults.list().len(), 1);
    }

    #[test]
    fn the_same_knob_is_turned_not_doubled() {
        let faults = Faults::default();
        faults.set(rule(r#"{"fault":"slow","delayMs":1}"#).unwrap());
        faults.set(rule(r#"{"fault":"slow","delayMs":2}"#).unwrap());
        assert_eq!(faults.list().len(), 1);
        assert_eq!(faults.list()[0].delay_ms, Some(2));
    }

    #[test]
    fn all_declines_only_what_moves_money() {
        let faults = Faults::default();
        faults.set(rule(r#"{"fault":"decline"}"#).unwrap());
        for kind in [Kind::Create, Kind::Void, Kind::Refund, Kind::Probe] {
            assert!(faults.pick(kind, |_| true).is_none(), "{kind:?}");
        }
        assert!(faults.pick(Kind::Charge, |_| true).is_some());
    }
}
