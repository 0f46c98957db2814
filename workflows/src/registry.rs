//! The one list of the actions that definitions may name.

use crate::{
    payments::{Adopt, Charge, Gateways, ProbeCharge, Settle, TakeBack},
    refunds::{ApproveRefund, ProbeRefund, RequestRefund, ReserveRefund, SettleRefund, SubmitRefund, WithdrawRefund},
    seats::actions::{CommitSeats, HoldSeats, ReleaseSeats},
    settings::BookingSettings,
    tickets::{IssueTickets, TicketKeys},
};
use orchestrator::{
    action::{Registry, RegistryError},
    demo,
};
use std::sync::Arc;

/// What our actions need.
#[derive(Clone)]
pub struct Needs {
    /// Whom payments talk to.
    pub gateways: Arc<Gateways>,
    /// What signs tickets.
    pub ticket_keys: TicketKeys,
    /// What the installation decides.
    pub settings: BookingSettings,
    /// Whether the actions for tutorials and tests are there as well.
    pub demo_actions: bool,
}

/// All actions and probes.
///
/// # Errors
/// [`RegistryError`] when two have one name: a mistake in this file.
pub fn registry(needs: &Needs) -> Result<Registry, RegistryError> {
    let gateways = || Arc::clone(&needs.gateways);
    let mut registry = Registry::new();
    registry
        .local(HoldSeats { lasts: needs.settings.order_hold(), to_pay: needs.gateways.time_to_pay() })?
        .local(CommitSeats)?
        .local(ReleaseSeats)?
        .external(Charge { gateways: gateways() })?
        .external(TakeBack { gateways: gateways() })?
        .probe(ProbeCharge { gateways: gateways() })?
        .local(Adopt)?
        .external(Settle { gateways: gateways() })?
        .local(RequestRefund)?
        .local(ReserveRefund)?
        .local(ApproveRefund)?
        .local(WithdrawRefund)?
        .external(SubmitRefund { gateways: gateways() })?
        .probe(ProbeRefund { gateways: gateways() })?
        .local(SettleRefund)?
        .local(IssueTickets { keys: needs.ticket_keys.clone() })?;
    if needs.demo_actions {
        demo::register(&mut registry)?;
    }
    Ok(registry)
}
