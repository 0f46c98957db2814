//! Calls, as breakers see them: what is asked for, and how it ended.

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

/// A call that would be known if it were made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeatable {
    /// What all calls have in common that are the same one.
    pub name: String,
    /// It is known to have been made before, by whichever process, and not to have been answered.
    pub is_repeated: bool,
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
    /// There was no call, or none that says anything about those that move money.
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
