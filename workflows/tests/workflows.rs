//! Our business on real parts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it stands")]

#[path = "workflows/access.rs"]
mod access;
#[path = "workflows/breakers.rs"]
mod breakers;
#[path = "workflows/database_role.rs"]
mod database_role;
#[path = "workflows/gateways_conformance.rs"]
mod gateways_conformance;
#[path = "workflows/ledger.rs"]
mod ledger;
#[path = "workflows/sagas.rs"]
mod sagas;
#[path = "workflows/seats.rs"]
mod seats;
#[path = "workflows/simulator.rs"]
mod simulator;
