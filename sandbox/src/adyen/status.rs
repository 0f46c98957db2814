//! The life of a payment, in one table.

use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Nobody has decided yet.
    Received,
    /// The buyer has to go somewhere first.
    Redirected,
    /// Somebody else takes their time.
    Pending,
    Authorised,
    Captured,
    Refused,
    Cancelled,
}

/// What happens to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The buyer was sent away.
    Redirected,
    /// It takes longer.
    Delayed,
    /// The issuer holds the money.
    Authorised,
    /// The money was taken.
    Captured,
    /// The issuer refused.
    Refused,
    /// The money was let go.
    Cancelled,
}

/// A move that the table does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment in {from:?} cannot be {event:?}")]
pub(crate) struct IllegalMove {
    from: Status,
    event: Event,
}

impl Status {
    /// What comes after `event`.
    pub(crate) fn on(self, event: Event) -> Result<Self, IllegalMove> {
        use Event as E;
        match (self, event) {
            (Self::Received, E::Redirected) => Ok(Self::Redirected),
            (Self::Received, E::Delayed) => Ok(Self::Pending),
            (Self::Received, E::Authorised) => Ok(Self::Authorised),
            (Self::Received, E::Refused) => Ok(Self::Refused),

            (Self::Redirected, E::Authorised) => Ok(Self::Authorised),
            (Self::Redirected, E::Refused) => Ok(Self::Refused),

            (Self::Pending, E::Authorised) => Ok(Self::Authorised),
            (Self::Pending, E::Refused) => Ok(Self::Refused),

            (Self::Authorised, E::Captured) => Ok(Self::Captured),
            (Self::Authorised, E::Cancelled) => Ok(Self::Cancelled),

            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// Adyen's result code for it; a refused payment's goes with its reason.
    pub(crate) fn result_code(self) -> &'static str {
        match self {
            Self::Received => "Received",
            Self::Redirected => "RedirectShopper",
            Self::Pending => "Pending",
            Self::Authorised | Self::Captured => "Authorised",
            Self::Refused => "Refused",
            Self::Cancelled => "Cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_over_and_what_is_captured_is_not_cancelled() {
        let events =
            [Event::Redirected, Event::Delayed, Event::Authorised, Event::Captured, Event::Refused, Event::Cancelled];
        for event in events {
            for status in [Status::Captured, Status::Refused, Status::Cancelled] {
                assert!(status.on(event).is_err(), "{status:?} {event:?}");
            }
        }
    }
}
