//! A hold's life: one table of legal moves.

use serde::Serialize;

/// Where a hold stands. Whether it still lasts is another question: by the clock it may be over before it is
/// swept, and its seats are then anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldState {
    /// A buyer's, without an order yet.
    Active,
    /// An order's, not paid yet.
    Ordered,
    /// Its seats are sold to its order.
    Committed,
    /// Given back: by the buyer, by the order's compensation, or after the sale, seat by seat.
    Released,
    /// Over.
    Expired,
    /// An order was compensated before it had a hold: nothing was held, and nothing may be any more.
    Void,
}

/// What happens to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HoldEvent {
    /// The buyer chose other seats.
    SeatsChanged,
    /// An order was placed with it.
    OrderPlaced,
    /// The order's saga made sure of it: it lasts again.
    Confirmed,
    /// The order is paid.
    OrderPaid,
    /// The buyer or a compensation gave it back.
    GivenBack,
    /// Some of its sold seats came back.
    SomeReturned,
    /// The last of its sold seats came back.
    AllReturned,
    /// Its time is over.
    TimeOver,
}

/// A move that a hold does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hold that is {state:?} has no move for {event:?}")]
pub struct IllegalHoldTransition {
    /// Where it stood.
    pub state: HoldState,
    /// What came.
    pub event: HoldEvent,
}

impl HoldState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Ordered, Self::Committed, Self::Released, Self::Expired, Self::Void];

    /// Where it stands after `event`.
    ///
    /// # Errors
    /// [`IllegalHoldTransition`].
    pub fn on(self, event: HoldEvent) -> Result<Self, IllegalHoldTransition> {
        use HoldEvent as E;
        Ok(match (self, event) {
            (Self::Active, E::SeatsChanged) => Self::Active,
            (Self::Active, E::OrderPlaced) => Self::Ordered,
            (Self::Active, E::GivenBack) => Self::Released,
            (Self::Active, E::TimeOver) => Self::Expired,
            (Self::Ordered, E::Confirmed) => Self::Ordered,
            (Self::Ordered, E::OrderPaid) => Self::Committed,
            (Self::Ordered, E::GivenBack) => Self::Released,
            (Self::Ordered, E::TimeOver) => Self::Expired,
            // over, but nobody else took the seats: an order may have them all the same
            (Self::Expired, E::Confirmed) => Self::Ordered,
            (Self::Expired, E::OrderPaid) => Self::Committed,
            (Self::Expired, E::GivenBack) => Self::Released,
            (Self::Committed, E::GivenBack) => Self::Released,
            (Self::Committed, E::SomeReturned) => Self::Committed,
            (Self::Committed, E::AllReturned) => Self::Released,
            (state, event) => return Err(IllegalHoldTransition { state, event }),
        })
    }

    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ordered => "ordered",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    /// From how it is stored.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl HoldEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SeatsChanged,
        Self::OrderPlaced,
        Self::Confirmed,
        Self::OrderPaid,
        Self::GivenBack,
        Self::SomeReturned,
        Self::AllReturned,
        Self::TimeOver,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_stays_so() {
        for event in HoldEvent::ALL {
            for end in [HoldState::Released, HoldState::Void] {
                assert!(end.on(event).is_err(), "{end:?} {event:?}");
            }
        }
    }

    #[test]
    fn names_come_back_as_they_went() {
        for state in HoldState::ALL {
            assert_eq!(HoldState::from_stored(state.as_str()), Some(state));
        }
    }

    #[test]
    fn only_a_hold_without_an_order_takes_one() {
        let takers: Vec<_> =
            HoldState::ALL.into_iter().filter(|state| state.on(HoldEvent::OrderPlaced).is_ok()).collect();
        assert_eq!(takers, [HoldState::Active]);
    }
}
