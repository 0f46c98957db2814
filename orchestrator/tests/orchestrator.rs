//! The engine on its stores.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it stands")]

#[path = "orchestrator/acts.rs"]
mod acts;
#[path = "orchestrator/cases.rs"]
mod cases;
#[path = "orchestrator/catalog.rs"]
mod catalog;
#[path = "orchestrator/chain.rs"]
mod chain;
#[path = "orchestrator/conformance.rs"]
mod conformance;
#[path = "orchestrator/database.rs"]
mod database;
#[path = "orchestrator/forks.rs"]
mod forks;
#[path = "orchestrator/ground.rs"]
mod ground;
#[path = "orchestrator/history.rs"]
mod history;
#[path = "orchestrator/journals.rs"]
mod journals;
#[path = "orchestrator/lists.rs"]
mod lists;
#[path = "orchestrator/postgres.rs"]
mod postgres;
#[path = "orchestrator/world.rs"]
mod world;
