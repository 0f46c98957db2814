//! What the business keeps in the simulated store: seats, orders' holds, charges, refunds, tickets.

use chrono::{DateTime, Utc};
use orchestrator::SagaId;
use std::collections::{BTreeMap, BTreeSet};
use workflows::{
    gateways::Reference,
    ids::{OrderId, RefundId},
    money::Money,
};

/// What one seat costs.
pub(super) const PRICE_MINOR: i64 = 2_500;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Business {
    pub(super) seats: BTreeMap<String, SeatOf>,
    pub(super) holds: BTreeMap<OrderId, Hold>,
    /// By gateway and key.
    pub(super) payments: BTreeMap<ChargeName, Payment>,
    pub(super) refunds: BTreeMap<RefundId, Refund>,
    /// By seat: whose live ticket it has.
    pub(super) tickets: BTreeMap<String, OrderId>,
    /// The news of charges that were taken, by gateway and id.
    pub(super) inbox: BTreeSet<(String, String)>,
    /// What must never be: found at the moment it was about to happen.
    pub(super) broken: Vec<String>,
}

/// Whose a seat is. One that is missing is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeatOf {
    Held(OrderId, DateTime<Utc>),
    Sold(OrderId),
}

/// What an order has of seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) saga: SagaId,
    pub(super) seats: Vec<String>,
    pub(super) state: HoldState,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HoldState {
    Ordered,
    Committed,
    /// Given back, or never to be given.
    Over,
}

/// A charge's gateway and key.
pub(super) type ChargeName = (String, String);

/// A charge, as the journals tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) order: OrderId,
    /// The saga that made it.
    pub(super) saga: SagaId,
    pub(super) amount: Money,
    /// When it was first intended.
    pub(super) intended_at: DateTime<Utc>,
    pub(super) reference: Option<Reference>,
    pub(super) standing: Standing,
    /// It is its order's no longer.
    pub(super) left_behind: bool,
    pub(super) refund_asked: bool,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Pending,
    InDoubt,
    Declined,
    Voided,
    Captured(Money),
    Refunded,
}

/// Money on its way back.
#[derive(Debug, Clone)]
pub(super) struct Refund {
    pub(super) saga: SagaId,
    pub(super) order: OrderId,
    pub(super) charge: ChargeName,
    /// Of a charge that was left behind: seats and tickets are not touched.
    pub(super) of_left_behind: bool,
    pub(super) settled: bool,
}

impl Business {
    /// Whether an order could have this seat now.
    pub(super) fn takeable(&self, seat: &str, order: OrderId, now: DateTime<Utc>) -> bool {
        match self.seats.get(seat) {
            None => true,
            Some(SeatOf::Held(holder, until)) => *holder == order || *until <= now,
            Some(SeatOf::Sold(owner)) => *owner == order,
        }
    }

    pub(super) fn take(&mut self, seats: &[String], of: SeatOf) {
        for seat in seats {
            self.seats.insert(seat.clone(), of);
        }
    }

    /// Gives back what is this order's; what is somebody else's by now stays theirs.
    pub(super) fn give_back(&mut self, order: OrderId) -> Vec<String> {
        let own = |of: &SeatOf| matches!(of, SeatOf::Held(holder, _) | SeatOf::Sold(holder) if *holder == order);
        let given: Vec<_> = self.seats.iter().filter(|(_, of)| own(of)).map(|(seat, _)| seat.clone()).collect();
        for seat in &given {
            self.seats.remove(seat);
        }
        given
    }
}
