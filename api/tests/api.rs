//! The API on a real PostgreSQL and Redis. No worker runs here: what a saga does is tested where it runs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it stands")]

#[path = "api/audit.rs"]
mod audit;
#[path = "api/batches.rs"]
mod batches;
#[path = "api/booking.rs"]
mod booking;
#[path = "api/cases.rs"]
mod cases;
#[path = "api/definitions.rs"]
mod definitions;
#[path = "api/gateways.rs"]
mod gateways;
#[path = "api/guards.rs"]
mod guards;
#[path = "api/ledger.rs"]
mod ledger;
#[path = "api/machines.rs"]
mod machines;
#[path = "api/refunds.rs"]
mod refunds;
#[path = "api/replays.rs"]
mod replays;
#[path = "api/sagas.rs"]
mod sagas;
#[path = "api/settlements.rs"]
mod settlements;
#[path = "api/support.rs"]
mod support;
#[path = "api/tickets.rs"]
mod tickets;
#[path = "api/webhooks.rs"]
mod webhooks;
