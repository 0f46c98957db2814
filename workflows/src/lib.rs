//! workflows
pub mod card_number;
pub mod gateways;
pub mod ids;
pub mod money;
pub mod definitions;
pub mod events;
pub mod holds;
pub mod seat_cache;
pub mod seats;
mod spawned;
