//! The states of an order and the one table of legal moves between them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where an order stands, as its buyer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderStatus {
    /// Its saga is at work.
    Pending,
    /// The buyer must do something, such as answer their bank.
    ActionRequired,
    /// It has its tickets.
    Confirmed,
    /// Never charged, or refunded in full.
    Rejected,
    /// It is being taken back because somebody wants that.
    Cancelling,
    /// It was taken back because somebody wanted that.
    Cancelled,
    /// It needs a person.
    Attention,
}

/// What moves an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderEvent {
    /// The buyer must do something before the payment goes on.
    BuyerNeeded,
    /// The payment goes on.
    PaymentResumed,
    /// Its saga is done.
    Completed,
    /// Somebody wants it taken back.
    CancelRequested,
    /// Its saga is taken back because something could not be done.
    Failed,
    /// Its saga is taken back because somebody wanted that.
    TakenBack,
    /// All its money went back after it was confirmed.
    RefundedInFull,
    /// Some of its money went back after it was confirmed, and nothing more is on its way.
    RefundedInPart,
    /// Money that had gone back has come back to us.
    RefundReversed,
    /// A saga of it stopped for a person.
    Stuck,
    /// A person has its own saga tried again.
    Retried,
    /// A person has its cancellation or its refund tried again.
    TakingBackRetried,
}

impl OrderEvent {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::BuyerNeeded,
        Self::PaymentResumed,
        Self::Completed,
        Self::CancelRequested,
        Self::Failed,
        Self::TakenBack,
        Self::RefundedInFull,
        Self::RefundedInPart,
        Self::RefundReversed,
        Self::Stuck,
        Self::Retried,
        Self::TakingBackRetried,
    ];
}

/// A move that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {status} cannot move by {event:?}")]
pub struct IllegalOrderTransition {
    /// Where it stands.
    pub status: OrderStatus,
    /// What was asked of it.
    pub event: OrderEvent,
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::ActionRequired,
        Self::Confirmed,
        Self::Rejected,
        Self::Cancelling,
        Self::Cancelled,
        Self::Attention,
    ];

    /// Where `event` takes it.
    ///
    /// # Errors
    /// [`IllegalOrderTransition`] when the table has no such move.
    pub fn on(self, event: OrderEvent) -> Result<Self, IllegalOrderTransition> {
        use OrderEvent as E;
        match (self, event) {
            (Self::Pending, E::BuyerNeeded) => Ok(Self::ActionRequired),
            (Self::ActionRequired, E::BuyerNeeded) => Ok(Self::ActionRequired),
            (Self::ActionRequired, E::PaymentResumed) => Ok(Self::Pending),
            (Self::Pending, E::Completed) => Ok(Self::Confirmed),
            (Self::Attention, E::Completed) => Ok(Self::Confirmed),
            (Self::Cancelling, E::Completed) => Ok(Self::Confirmed),
            (Self::Pending, E::CancelRequested) => Ok(Self::Cancelling),
            (Self::ActionRequired, E::CancelRequested) => Ok(Self::Cancelling),
            (Self::Attention, E::CancelRequested) => Ok(Self::Cancelling),
            (Self::Confirmed, E::CancelRequested) => Ok(Self::Cancelling),
            (Self::Pending, E::Failed) => Ok(Self::Rejected),
            (Self::ActionRequired, E::Failed) => Ok(Self::Rejected),
            (Self::Attention, E::Failed) => Ok(Self::Rejected),
            (Self::Cancelling, E::Failed) => Ok(Self::Rejected),
            (Self::Cancelling, E::TakenBack) => Ok(Self::Cancelled),
            (Self::Attention, E::TakenBack) => Ok(Self::Cancelled),
            (Self::Confirmed, E::RefundedInFull) => Ok(Self::Cancelled),
            (Self::Cancelling, E::RefundedInFull) => Ok(Self::Cancelled),
            (Self::Attention, E::RefundedInFull) => Ok(Self::Cancelled),
            (Self::Cancelling, E::RefundedInPart) => Ok(Self::Confirmed),
            (Self::Attention, E::RefundedInPart) => Ok(Self::Confirmed),
            (Self::Confirmed, E::RefundReversed) => Ok(Self::Attention),
            (Self::Cancelling, E::RefundReversed) => Ok(Self::Attention),
            (Self::Cancelled, E::RefundReversed) => Ok(Self::Attention),
            (Self::Rejected, E::RefundReversed) => Ok(Self::Attention),
            (Self::Attention, E::RefundReversed) => Ok(Self::Attention),
            (Self::Pending, E::Stuck) => Ok(Self::Attention),
            (Self::ActionRequired, E::Stuck) => Ok(Self::Attention),
            (Self::Confirmed, E::Stuck) => Ok(Self::Attention),
            (Self::Cancelling, E::Stuck) => Ok(Self::Attention),
            (Self::Attention, E::Stuck) => Ok(Self::Attention),
            (Self::Attention, E::Retried) => Ok(Self::Pending),
            (Self::Attention, E::TakingBackRetried) => Ok(Self::Cancelling),
            (status, event) => Err(IllegalOrderTransition { status, event }),
        }
    }

    /// Nothing more happens to it unless somebody does something: what a waiting buyer wants to know.
    #[must_use]
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Cancelling)
    }

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::ActionRequired => "actionRequired",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Attention => "attention",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an order's status")]
pub struct NotAnOrderStatus(pub String);

impl FromStr for OrderStatus {
    type Err = NotAnOrderStatus;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| NotAnOrderStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// The table as a Mermaid diagram.
    fn diagram() -> String {
        let mut text = String::from(
            "# The states of an order\n\nDrawn from the code by a test; do not edit by hand \
             (`UPDATE_DOCS=1 cargo test -p workflows diagram` redraws it).\n\n\
             ```mermaid\nstateDiagram-v2\n    [*] --> pending\n",
        );
        for status in OrderStatus::ALL {
            for event in OrderEvent::ALL {
                if let Ok(next) = status.on(event) {
                    writeln!(text, "    {status} --> {next} : {event:?}").unwrap();
                }
            }
            if OrderEvent::ALL.into_iter().all(|event| status.on(event).is_err()) {
                writeln!(text, "    {status} --> [*]").unwrap();
            }
        }
        text.push_str("```\n");
        text
    }

    #[test]
    fn the_diagram_in_the_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/order-states.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, diagram()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), diagram(), "run with UPDATE_DOCS=1 and look at the picture");
    }

    #[test]
    fn an_end_is_an_end() {
        for event in [OrderEvent::BuyerNeeded, OrderEvent::Completed, OrderEvent::Stuck, OrderEvent::CancelRequested] {
            assert!(OrderStatus::Rejected.on(event).is_err());
            assert!(OrderStatus::Cancelled.on(event).is_err());
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
