//! Circuit breakers, one per gateway and operation: a gateway that fails is left alone for a while, instead of being
//! asked by everybody again and again.
//!
//! They are advice. What is safe is decided elsewhere, from the journal; a breaker that is wrong, or that two
//! processes see differently, costs time and never money.

mod settings;

pub use settings::BreakerSettings;

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// What a gateway is asked to do, as breakers tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Take money, and what is made before that.
    Charge,
    /// Give money back.
    Refund,
    /// End a charge that is not captured.
    Void,
    /// Ask what became of a charge or a refund.
    Probe,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Charge, Self::Refund, Self::Void, Self::Probe];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Probe => "probe",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a call ended, as far as it tells whether the gateway is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The gateway answered. A decline is an answer.
    Answered,
    /// It did not, or not in a way that can be read.
    Failed(Failing),
    /// It turned the call away, and asks to be left alone for so long.
    Throttled(Option<Duration>),
    /// There was no call.
    NotMade,
}

/// In which way a gateway is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failing {
    /// No answer in time.
    Timeout,
    /// No connection came about.
    NoConnection,
    /// The connection was lost.
    ConnectionLost,
    /// 5xx.
    ServerError,
    /// An answer that does not read.
    Unreadable,
}

/// A call that is not to be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Why.
    pub why: Why,
    /// Behind what, in words.
    pub detail: String,
    /// When to ask again.
    pub after: Duration,
}

/// Why a call is not to be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The breaker is open.
    Open,
    /// The same call was made before, and repeated calls are as many as they may be for now.
    RetryBudget,
}

/// That a call may be made; [`GatewayBreakers::settle`] takes it back.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    operation: Operation,
}

/// The breakers of one gateway. A clone is the same.
#[derive(Debug, Clone)]
pub struct GatewayBreakers {}

impl GatewayBreakers {
    /// Those of a gateway of this name, which no other process shares.
    #[must_use]
    pub fn alone(_gateway: &str, _settings: BreakerSettings) -> Self {
        Self {}
    }

    /// Whether a call may be made. `call` is its name by which it would be known again; calls that only ask have none.
    ///
    /// # Errors
    /// [`HeldBack`]: not now.
    pub async fn admit(&self, operation: Operation, _call: Option<&str>) -> Result<Pass, HeldBack> {
        Ok(Pass { operation })
    }

    /// What became of the call.
    pub async fn settle(&self, pass: Pass, _end: End) {
        let _ = pass.operation;
    }

    /// How long calls are still kept away, as far as this process knows without asking anybody.
    #[must_use]
    pub fn closed_for(&self, _operation: Operation) -> Option<Duration> {
        None
    }
}
