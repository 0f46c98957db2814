//! The local actions, on simulated seats and orders. They keep to the same rules as those on PostgreSQL, which
//! `seats.rs` and `sagas.rs` test on the real thing.

use super::business::{Business, ChargeName, Hold, HoldState, PRICE_MINOR, Payment, Refund, SeatOf, Standing};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::{
    action::{Answer, Call, Halt, LocalAction, Registry},
    store::simulated::{Simulated, SimulatedTx},
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use workflows::{
    ids::{EventId, HoldId, OrderId, TicketId},
    money::{Currency, Money},
    payments::{Adopted, Charge, Gateways, LeftBehind, ProbeCharge, Settle, TakeBack},
    refunds::{
        ApproveInput, LeftBehindCharge, ProbeRefund, RefundApproved, RefundRequested, RefundWithdrawn, RequestInput,
        SettleInput, Settled, SubmitRefund,
    },
    seats::actions::{CommitSeatsOutput, HoldSeatsInput, HoldSeatsOutput, OrderSeatsInput, ReleaseSeatsOutput},
    tickets::IssuedTickets,
};

/// The store with our business in it.
pub(super) type Store = Simulated<Business>;
pub(super) type Tx = SimulatedTx<Business>;

/// The actions that our definitions name.
pub(super) fn registry(gateways: &Arc<Gateways>, lasts: Duration) -> Registry<Store> {
    let gateways = || Arc::clone(gateways);
    let mut registry = Registry::new();
    registry.local(HoldSeats { lasts }).unwrap();
    registry.local(ReleaseSeats).unwrap();
    registry.local(CommitSeats).unwrap();
    registry.local(IssueTickets).unwrap();
    registry.local(Adopt).unwrap();
    registry.local(ReserveRefund).unwrap();
    registry.local(ApproveRefund).unwrap();
    registry.local(WithdrawRefund).unwrap();
    registry.local(SettleRefund).unwrap();
    registry.external(Charge { gateways: gateways() }).unwrap();
    registry.external(TakeBack { gateways: gateways() }).unwrap();
    registry.external(Settle { gateways: gateways() }).unwrap();
    registry.probe(ProbeCharge { gateways: gateways() }).unwrap();
    registry.external(SubmitRefund { gateways: gateways() }).unwrap();
    registry.probe(ProbeRefund { gateways: gateways() }).unwrap();
    registry
}

struct HoldSeats {
    lasts: Duration,
}

#[async_trait]
impl LocalAction<Store> for HoldSeats {
    const NAME: &'static str = "seats.hold";
    type Input = HoldSeatsInput;
    type Output = HoldSeatsOutput;

    async fn run(&self, tx: &mut Tx, call: &Call, input: HoldSeatsInput) -> Answer<HoldSeatsOutput> {
        let now = tx.time();
        let business = tx.business();
        let order = input.order_id;
        let before = business.holds.get(&order).cloned();
        let held = match before {
            Some(hold) if hold.saga != call.saga_id => return Err(Halt::permanent("order-exists", "another saga's")),
            Some(hold) if hold.state == HoldState::Over => return Err(Halt::permanent("hold-lost", "given back")),
            Some(hold) if hold.state == HoldState::Committed || hold.expires_at > now => hold,
            _ => {
                if !input.seat_ids.iter().all(|seat| business.takeable(seat, order, now)) {
                    return Err(Halt::permanent("hold-lost", "seats are somebody else's"));
                }
                let expires_at = now + self.lasts;
                let seats = input.seat_ids.clone();
                business.take(&seats, SeatOf::Held(order, expires_at));
                Hold { saga: call.saga_id, seats, state: HoldState::Ordered, expires_at }
            }
        };
        business.holds.insert(order, held.clone());
        Ok(HoldSeatsOutput {
            hold_id: HoldId(call.saga_id.0),
            event_id: input.event_id.unwrap_or(EventId(call.saga_id.0)),
            total: price(held.seats.len()),
            seat_ids: held.seats,
            expires_at: held.expires_at,
        })
    }
}

/// What so many seats cost.
pub(super) fn price(seats: usize) -> Money {
    Money::new(PRICE_MINOR * i64::try_from(seats).unwrap(), Currency::EUR)
}

struct ReleaseSeats;

#[async_trait]
impl LocalAction<Store> for ReleaseSeats {
    const NAME: &'static str = "seats.release";
    type Input = OrderSeatsInput;
    type Output = ReleaseSeatsOutput;

    async fn run(&self, tx: &mut Tx, call: &Call, input: OrderSeatsInput) -> Answer<ReleaseSeatsOutput> {
        let now = tx.time();
        let business = tx.business();
        // where there never was a hold, none can come later
        let never = Hold { saga: call.saga_id, seats: Vec::new(), state: HoldState::Over, expires_at: now };
        business.holds.entry(input.order_id).or_insert(never).state = HoldState::Over;
        Ok(ReleaseSeatsOutput { released: business.give_back(input.order_id) })
    }
}

struct CommitSeats;

#[async_trait]
impl LocalAction<Store> for CommitSeats {
    const NAME: &'static str = "seats.commit";
    type Input = OrderSeatsInput;
    type Output = CommitSeatsOutput;

    async fn run(&self, tx: &mut Tx, call: &Call, input: OrderSeatsInput) -> Answer<CommitSeatsOutput> {
        let now = tx.time();
        let business = tx.business();
        let order = input.order_id;
        let hold = business.holds.get(&order).cloned().ok_or_else(|| Halt::permanent("hold-lost", "no hold"))?;
        if hold.state == HoldState::Over || !hold.seats.iter().all(|seat| business.takeable(seat, order, now)) {
            return Err(Halt::permanent("hold-lost", "the hold is over"));
        }
        business.take(&hold.seats, SeatOf::Sold(order));
        business.holds.insert(order, Hold { state: HoldState::Committed, ..hold.clone() });
        Ok(CommitSeatsOutput { event_id: EventId(call.saga_id.0), seat_ids: hold.seats })
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct IssueInput {
    order_id: OrderId,
}

struct IssueTickets;

#[async_trait]
impl LocalAction<Store> for IssueTickets {
    const NAME: &'static str = "tickets.issue";
    type Input = IssueInput;
    type Output = IssuedTickets;

    async fn run(&self, tx: &mut Tx, _: &Call, input: IssueInput) -> Answer<IssuedTickets> {
        let business = tx.business();
        let order = input.order_id;
        let seats = business.holds.get(&order).map(|hold| hold.seats.clone()).unwrap_or_default();
        for seat in &seats {
            let before = business.tickets.insert(seat.clone(), order);
            if let Some(other) = before.filter(|other| *other != order) {
                business.broken.push(format!("seat {seat} is sold to {other} and to {order}"));
            }
        }
        Ok(IssuedTickets { ticket_ids: seats.iter().map(|seat| TicketId::of(order, seat)).collect() })
    }
}

struct Adopt;

#[async_trait]
impl LocalAction<Store> for Adopt {
    const NAME: &'static str = "payments.adopt";
    type Input = LeftBehind;
    type Output = Adopted;

    async fn run(&self, tx: &mut Tx, _: &Call, input: LeftBehind) -> Answer<Adopted> {
        let charge = tx.business().payments.get_mut(&(input.gateway, input.key.into()));
        let charge = charge.filter(|charge| charge.order == input.order_id);
        charge.ok_or_else(|| Halt::permanent("unknown-charge", "no such charge"))?.left_behind = true;
        Ok(Adopted {})
    }
}

struct ReserveRefund;

#[async_trait]
impl LocalAction<Store> for ReserveRefund {
    const NAME: &'static str = "refunds.reserve";
    type Input = RequestInput;
    type Output = RefundRequested;

    async fn run(&self, tx: &mut Tx, call: &Call, input: RequestInput) -> Answer<RefundRequested> {
        let business = tx.business();
        let order = input.order_id;
        let known = business.refunds.get(&input.refund_id).cloned();
        if known.as_ref().is_some_and(|refund| refund.saga != call.saga_id) {
            return Err(Halt::permanent("refund-exists", "another saga's"));
        }
        let of_left_behind = input.charge.is_some();
        let name = match (known, input.charge) {
            (Some(refund), _) => refund.charge,
            (None, Some(LeftBehindCharge { gateway, key })) => (gateway, key.into()),
            (None, None) => owed(business, order)?,
        };
        let charge = business.payments.get_mut(&name).filter(|charge| charge.order == order);
        let Some((charge, captured)) = charge.and_then(|charge| match charge.standing {
            Standing::Captured(captured) => Some((charge, captured)),
            _ => None,
        }) else {
            return Err(Halt::permanent("nothing-captured", "nothing to refund"));
        };
        charge.refund_asked = true;
        let requested = RefundRequested {
            refund_id: input.refund_id,
            gateway: name.0.clone(),
            payment: charge.reference.clone().unwrap(),
            amount: captured,
            generation: 1,
        };
        let refund = Refund { saga: call.saga_id, order, charge: name, of_left_behind, settled: false };
        business.refunds.insert(input.refund_id, refund);
        Ok(requested)
    }
}

struct ApproveRefund;

#[async_trait]
impl LocalAction<Store> for ApproveRefund {
    const NAME: &'static str = "refunds.approve";
    type Input = ApproveInput;
    type Output = RefundApproved;

    async fn run(&self, tx: &mut Tx, _: &Call, input: ApproveInput) -> Answer<RefundApproved> {
        let business = tx.business();
        let order = input.order_id;
        let refund = business.refunds.get(&input.refund_id);
        let of_left_behind = refund.ok_or_else(|| Halt::permanent("unknown-refund", "none"))?.of_left_behind;
        if !of_left_behind && business.tickets.values().any(|owner| *owner == order) {
            business.tickets.retain(|_, owner| *owner != order);
            business.give_back(order);
        }
        Ok(RefundApproved { approved_by: None, of_all_seats: !of_left_behind })
    }
}

struct WithdrawRefund;

#[async_trait]
impl LocalAction<Store> for WithdrawRefund {
    const NAME: &'static str = "refunds.withdraw";
    type Input = ApproveInput;
    type Output = RefundWithdrawn;

    async fn run(&self, tx: &mut Tx, _: &Call, input: ApproveInput) -> Answer<RefundWithdrawn> {
        let business = tx.business();
        if let Some(refund) = business.refunds.remove(&input.refund_id) {
            business.payments.get_mut(&refund.charge).unwrap().refund_asked = false;
        }
        Ok(RefundWithdrawn {})
    }
}

/// The one charge that has money of the order; what was left behind is not the order's money.
fn owed(business: &Business, order: OrderId) -> Answer<ChargeName> {
    let is_owed = |charge: &Payment| {
        let ours = charge.order == order && !charge.left_behind && !charge.refund_asked;
        ours && matches!(charge.standing, Standing::Captured(_))
    };
    let mut owed = business.payments.iter().filter(|(_, charge)| is_owed(charge)).map(|(name, _)| name.clone());
    match (owed.next(), owed.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(Halt::permanent("nothing-captured", "nothing to refund")),
        (Some(_), Some(_)) => Err(Halt::permanent("several-captures", "several charges have the order's money")),
    }
}

struct SettleRefund;

#[async_trait]
impl LocalAction<Store> for SettleRefund {
    const NAME: &'static str = "refunds.settle";
    type Input = SettleInput;
    type Output = Settled;

    async fn run(&self, tx: &mut Tx, _: &Call, input: SettleInput) -> Answer<Settled> {
        let business = tx.business();
        if let Some(refund) = business.refunds.get_mut(&input.refund_id) {
            refund.settled = true;
            business.payments.get_mut(&refund.charge).unwrap().standing = Standing::Refunded;
        }
        Ok(Settled { in_full: true })
    }
}

/// For readers of traces.
pub(super) fn clock(at: DateTime<Utc>) -> String {
    at.format("%M:%S%.3f").to_string()
}
