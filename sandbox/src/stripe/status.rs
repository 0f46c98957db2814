//! The life of a payment intent, in one table.

use serde::{Deserialize, Serialize};

/// Where a payment intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

/// What happens to a payment intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It has a payment method, and can be confirmed.
    MethodAttached,
    /// The issuer wants to hear from the buyer.
    Challenged,
    /// The issuer holds the money for a later capture.
    Authorized,
    /// The issuer takes its time.
    Delayed,
    /// The money was taken.
    Paid,
    /// The issuer refused.
    Declined,
    /// It was ended.
    Canceled,
}

/// A move that the table does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment intent in {from:?} cannot be {event:?}")]
pub(crate) struct IllegalMove {
    from: Status,
    event: Event,
}

impl Status {
    /// Every status.
    pub(crate) const ALL: [Self; 7] = [
        Self::RequiresPaymentMethod,
        Self::RequiresConfirmation,
        Self::RequiresAction,
        Self::Processing,
        Self::RequiresCapture,
        Self::Succeeded,
        Self::Canceled,
    ];

    /// What comes after `event`.
    pub(crate) fn on(self, event: Event) -> Result<Self, IllegalMove> {
        use Event as E;
        match (self, event) {
            (Self::RequiresPaymentMethod, E::MethodAttached) => Ok(Self::RequiresConfirmation),
            (Self::RequiresConfirmation, E::MethodAttached) => Ok(Self::RequiresConfirmation),
            (Self::RequiresAction, E::MethodAttached) => Ok(Self::RequiresConfirmation),

            (Self::RequiresConfirmation, E::Challenged) => Ok(Self::RequiresAction),
            (Self::RequiresConfirmation, E::Delayed) => Ok(Self::Processing),
            (Self::RequiresConfirmation, E::Authorized) => Ok(Self::RequiresCapture),
            (Self::RequiresConfirmation, E::Paid) => Ok(Self::Succeeded),
            (Self::RequiresConfirmation, E::Declined) => Ok(Self::RequiresPaymentMethod),

            (Self::RequiresAction, E::Authorized) => Ok(Self::RequiresCapture),
            (Self::RequiresAction, E::Paid) => Ok(Self::Succeeded),
            (Self::RequiresAction, E::Declined) => Ok(Self::RequiresPaymentMethod),

            (Self::Processing, E::Authorized) => Ok(Self::RequiresCapture),
            (Self::Processing, E::Paid) => Ok(Self::Succeeded),
            (Self::Processing, E::Declined) => Ok(Self::RequiresPaymentMethod),

            (Self::RequiresCapture, E::Paid) => Ok(Self::Succeeded),

            (Self::RequiresPaymentMethod, E::Canceled) => Ok(Self::Canceled),
            (Self::RequiresConfirmation, E::Canceled) => Ok(Self::Canceled),
            (Self::RequiresAction, E::Canceled) => Ok(Self::Canceled),
            (Self::RequiresCapture, E::Canceled) => Ok(Self::Canceled),

            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// Stripe's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }

    /// The statuses that `event` is possible in, as Stripe's messages list them.
    pub(crate) fn names_before(event: Event) -> String {
        let names: Vec<_> = Self::ALL.into_iter().filter(|status| status.on(event).is_ok()).map(Self::name).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_over() {
        for event in [
            Event::MethodAttached,
            Event::Challenged,
            Event::Authorized,
            Event::Delayed,
            Event::Paid,
            Event::Declined,
            Event::Canceled,
        ] {
            assert!(Status::Succeeded.on(event).is_err());
            assert!(Status::Canceled.on(event).is_err());
        }
    }

    #[test]
    fn the_messages_follow_the_table() {
        assert_eq!(
            Status::names_before(Event::MethodAttached),
            "requires_payment_method, requires_confirmation, requires_action"
        );
    }
}
