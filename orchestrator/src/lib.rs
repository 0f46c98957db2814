//! The durable engine: runs sagas whose definitions are data, so that each ends, whatever happens to the
//! processes that run it. It knows no tickets, no HTTP, no apalis and no Redis.
//!
//! Read in this order: what a saga is made of ([`definition`], [`action`]), what happened to it ([`journal`]),
//! where it stands ([`saga`], [`run`]), what comes next ([`plan`]), and who carries it out ([`engine`]).

pub mod definition;

pub mod action;
pub mod journal;
pub mod saga;

pub mod run;

pub mod plan;

pub mod judge;

pub mod engine;

pub mod acts;
pub mod cases;
pub mod catalog;
pub mod db;
pub mod demo;
pub mod group_commit;
pub mod history;
pub mod ids;
pub mod mock_run;
pub mod outbox;
pub mod projection;
pub mod schedules;
pub mod start;
pub mod store;
pub mod trace;
pub mod view;

mod canonical;
mod execute;
mod measure;
#[cfg(test)]
mod model;
mod moves;
mod wakeups;
mod watch;

pub use catalog::Catalog;
pub use engine::{Claimed, Engine, EngineSettings, LOCAL_STEPS_MAX, Settled};
pub use execute::{CHILD_OWNER, Report};
pub use ids::{CaseId, SagaId};
pub use projection::{Moved, NoProjection, Projection};
pub use start::{Prepared, Start, StartError, Started, start_in_tx, started_with};
pub use store::{Postgres, ReadError, Store};
pub use watch::Overdue;
