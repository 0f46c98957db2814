//! The engine on a real database.

#[path = "orchestrator/catalog.rs"]
mod catalog;
#[path = "orchestrator/database.rs"]
mod database;
