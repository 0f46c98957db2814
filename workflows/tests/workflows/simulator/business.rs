//! What the business keeps in the simulated store: seats, orders' holds, payments, refunds, tickets.

use chrono::{DateTime, Utc};
use orchestrator::SagaId;
use std::collections::BTreeMap;
use workflows::{
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
    pub(super) payments: BTreeMap<OrderId, Payment>,
    pub(super) refunds: BTreeMap<RefundId, Refund>,
    /// By seat: whose live ticket it has.
    pub(super) tickets: BTreeMap<String, OrderId>,
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

/// What a gateway has of an order's money, as the journal tells.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) gateway: String,
    pub(super) reference: String,
    pub(super) captured: Money,
    pub(super) refund_asked: bool,
}

/// Money on its way back.
#[derive(Debug, Clone)]
pub(super) struct Refund {
    pub(super) saga: SagaId,
    pub(super) order: OrderId,
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
