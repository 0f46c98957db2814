//! Payment gateways that speak the real protocols, with fault knobs and books of their own.
//!
//! It uses nothing of ours, so that a mistake of ours is not made twice and cancels out: what its
//! books say is what a gateway would have done with the money.

mod settings;

mod server;

mod calls;
mod control;
mod faults;
mod gateway;

mod adyen;
mod stripe;

mod webhooks;

mod answer;
mod books;
mod edge;
mod journal;
mod settlement;
mod shelf;
mod store;
mod wire;

pub use server::{Running, serve};
pub use settings::{Protocol, Settings};
