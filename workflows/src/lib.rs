//! Our business: events, seats, orders, payments, refunds and tickets, as actions that the engine's definitions name.
//! It knows no HTTP server and no apalis.
//!
//! Read in this order: what is sold ([`events`], [`seats`], [`holds`]), what a buyer asks for ([`orders`]), how it is
//! paid ([`payments`], [`gateways`], [`breakers`], [`refunds`], [`ledger`], [`settlements`]), and what the buyer gets
//! ([`tickets`]). What needs a person is in [`cases`], and what people do to many sagas at once in [`batches`].

pub mod events;

pub mod seats;

pub mod holds;

pub mod orders;

pub mod payments;

pub mod gateways;

pub mod breakers;

pub mod refunds;

pub mod ledger;

pub mod settlements;

pub mod tickets;

pub mod cases;

pub mod batches;

pub mod access;
pub mod approvals;
pub mod audit_head;
pub mod card_number;
pub mod definitions;
pub mod delivery;
pub mod ids;
pub mod invariants;
pub mod mail;
pub mod money;
pub mod projection;
pub mod redis_link;
pub mod registry;
pub mod search;
pub mod seat_cache;
pub mod settings;

mod measure;
mod spawned;

pub use measure::measure;
