//! The engine on a real database.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it stands")]

#[path = "orchestrator/acts.rs"]
mod acts;
#[path = "orchestrator/catalog.rs"]
mod catalog;
#[path = "orchestrator/claims.rs"]
mod claims;
#[path = "orchestrator/database.rs"]
mod database;
#[path = "orchestrator/history.rs"]
mod history;
#[path = "orchestrator/outbox.rs"]
mod outbox;
#[path = "orchestrator/proxy.rs"]
mod proxy;
#[path = "orchestrator/sagas.rs"]
mod sagas;
#[path = "orchestrator/trouble.rs"]
mod trouble;
#[path = "orchestrator/world.rs"]
mod world;
