//! The accounts, by name.

use crate::ids::EventId;
use std::fmt;

/// Where money is, or whose it is. An account is made when it is first used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What a gateway has of ours.
    Clearing(String),
    /// What a gateway has kept for itself.
    Fees(String),
    /// What a gateway keeps back while a buyer's bank disputes it.
    Disputes(String),
    /// What a gateway has paid out to us.
    Cash(String),
    /// What is owed to who organises an event.
    Payable(EventId),
    /// What is on its way back to buyers.
    RefundsInFlight,
    /// What is owed to buyers, and the gateway has said no: finance's.
    RefundsFailed,
    /// Money of charges that no order owns.
    Doubt,
    /// What buyers' banks have taken for good.
    DisputesLost,
    /// What settlements say otherwise.
    SettlementDifferences,
    /// Differences that were given up.
    SettlementWrittenOff,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clearing(gateway) => write!(f, "gateway:{gateway}:clearing"),
            Self::Fees(gateway) => write!(f, "gateway:{gateway}:fees"),
            Self::Disputes(gateway) => write!(f, "gateway:{gateway}:disputes"),
            Self::Cash(gateway) => write!(f, "gateway:{gateway}:cash"),
            Self::Payable(event) => write!(f, "organiser:{event}:payable"),
            Self::RefundsInFlight => f.write_str("refunds:inFlight"),
            Self::RefundsFailed => f.write_str("refunds:failed"),
            Self::Doubt => f.write_str("doubt"),
            Self::DisputesLost => f.write_str("disputes:lost"),
            Self::SettlementDifferences => f.write_str("settlement:differences"),
            Self::SettlementWrittenOff => f.write_str("settlement:writtenOff"),
        }
    }
}
